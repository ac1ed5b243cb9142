"""RSA2, the signature of Alipay's gateway: RSA with SHA-256 and PKCS#1 v1.5 over the sorted parameters, in base64.

Source: Alipay Open Platform, "Signing" and "Verifying asynchronous notices". The arithmetic is the `cryptography`
library's, which is maintained; only what is signed is written here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

KEY_MIN_BITS = 2048

_DECODER = json.JSONDecoder()
_BLANK = " \t\r\n"


class Unproved(Exception):
    """It is not signed by the key, or not in a form that anything could be signed in."""


def private_key(pem: str) -> rsa.RSAPrivateKey:
    """Raises ValueError for what is no RSA key of enough bits."""
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < KEY_MIN_BITS:
        raise ValueError(f"is no RSA key of {KEY_MIN_BITS} bits or more")
    return key


def public_key(pem: str) -> rsa.RSAPublicKey:
    """Raises ValueError for what is no RSA key of enough bits."""
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < KEY_MIN_BITS:
        raise ValueError(f"is no RSA key of {KEY_MIN_BITS} bits or more")
    return key


def signed_text(parameters: Mapping[str, str], *, without: frozenset[str]) -> str:
    """`k=v` of the parameters that are not empty, sorted by name, joined by `&`, not escaped."""
    return "&".join(
        f"{name}={parameters[name]}" for name in sorted(parameters) if parameters[name] and name not in without
    )


def sign_request(parameters: Mapping[str, str], key: rsa.RSAPrivateKey) -> dict[str, str]:
    """The parameters with their `sign`, which covers all others, `sign_type` among them."""
    text = signed_text(parameters, without=frozenset({"sign"}))
    signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return {**parameters, "sign": base64.b64encode(signature).decode()}


def prove_notice(parameters: Mapping[str, str], key: rsa.RSAPublicKey) -> None:
    """Raises Unproved. A notice's signature covers neither `sign` nor `sign_type`."""
    if parameters.get("sign_type") != "RSA2":
        raise Unproved("sign_type is not RSA2")
    text = signed_text(parameters, without=frozenset({"sign", "sign_type"}))
    _prove(text, parameters.get("sign", ""), key)


def proved_answer(text: str, name: str, key: rsa.RSAPublicKey) -> Any:
    """What stands under `name` in an answer, whose `sign` covers its text as it was written. Raises Unproved."""
    members = _members(text)
    answer, written = members.get(name, (None, ""))
    signature, _ = members.get("sign", (None, ""))
    if not written or not isinstance(signature, str):
        raise Unproved(f"the answer has no signed {name}")
    _prove(written, signature, key)
    return answer


def _prove(text: str, signature: str, key: rsa.RSAPublicKey) -> None:
    try:
        key.verify(base64.b64decode(signature, validate=True), text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError) as unproved:
        raise Unproved("the signature does not verify") from unproved


def _members(text: str) -> dict[str, tuple[Any, str]]:
    """The members of a JSON object: each with its value, and that value's text as it stands there. Raises Unproved."""
    found: dict[str, tuple[Any, str]] = {}
    try:
        index = _expect(text, 0, "{")
        while True:
            name, index = _DECODER.raw_decode(text, _past_blank(text, index))
            begin = _past_blank(text, _expect(text, index, ":"))
            value, end = _DECODER.raw_decode(text, begin)
            if not isinstance(name, str) or name in found:
                raise Unproved("a name stands twice, or is none")
            found[name] = (value, text[begin:end])
            index = _past_blank(text, end)
            if text[index : index + 1] != ",":
                break
            index += 1
        if _past_blank(text, _expect(text, index, "}")) != len(text):
            raise Unproved("something follows the object")
    except (ValueError, RecursionError) as unreadable:
        raise Unproved("it is not a JSON object") from unreadable
    return found


def _past_blank(text: str, index: int) -> int:
    while index < len(text) and text[index] in _BLANK:
        index += 1
    return index


def _expect(text: str, index: int, character: str) -> int:
    index = _past_blank(text, index)
    if text[index : index + 1] != character:
        raise Unproved(f"{character} is missing")
    return index + 1
