"""The gateway's signature: HMAC-SHA256 over the parameters, sorted by name and joined, in hexadecimal."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

SIGN = "sign"


def sign(secret: str, parameters: Mapping[str, str]) -> str:
    """Of `name=value&...` without `sign` and without empty values."""
    kept = sorted((name, value) for name, value in parameters.items() if name != SIGN and value)
    text = "&".join(f"{name}={value}" for name, value in kept)
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def is_signed(secret: str, parameters: Mapping[str, str]) -> bool:
    return hmac.compare_digest(parameters.get(SIGN, "").encode(), sign(secret, parameters).encode())
