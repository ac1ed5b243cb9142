"""RSA2 as a gateway of Alipay's kind signs and verifies, with keys for development that everybody knows.

The merchant's half of each pair is `alipay_development_app_private.pem` and `alipay_development_channel_public.pem`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key


def joined(parameters: Mapping[str, str]) -> str:
    """What is signed: `k=v` of all that is not empty, sorted by name."""
    return "&".join(f"{name}={value}" for name, value in sorted(parameters.items()) if value)


def sign(text: str) -> str:
    """By the channel, in base64."""
    return b64encode(_channel_key().sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


def is_app_s(parameters: Mapping[str, str]) -> bool:
    """Whether the merchant's app signed the parameters."""
    text = joined({name: value for name, value in parameters.items() if name != "sign"})
    try:
        _app_key().verify(
            b64decode(parameters.get("sign", ""), validate=True), text.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
    except (InvalidSignature, ValueError):
        return False
    return True


@cache
def _channel_key() -> rsa.RSAPrivateKey:
    key = load_pem_private_key(_pem("channel_private"), password=None)
    assert isinstance(key, rsa.RSAPrivateKey), "the development key is an RSA key"
    return key


@cache
def _app_key() -> rsa.RSAPublicKey:
    key = load_pem_public_key(_pem("app_public"))
    assert isinstance(key, rsa.RSAPublicKey), "the development key is an RSA key"
    return key


def _pem(name: str) -> bytes:
    return (Path(__file__).parent / f"alipay_development_{name}.pem").read_bytes()
