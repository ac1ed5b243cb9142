"""Requests of a mapped supplier as they go out: templates filled in, signed, and written as JSON, form or query."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from pydantic import JsonValue

from adapters.suppliers.mapped_mapping import Bearer, Digest, Operation, Signature

Values = Mapping[str, str | int | None]


class FieldMissing(Exception):
    """The mapping sends a field that this booking does not have: nothing was sent."""

    def __init__(self, field: str) -> None:
        super().__init__(f"the mapping needs {field}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Written:
    """A request without the supplier's address: `target` is path and query."""

    target: str
    headers: dict[str, str]
    content: bytes | None


def write(operation: Operation, form: str, signature: Signature, secret: str, values: Values) -> Written:
    """The request of `operation` with `values` in its fields; `form` is `json` or `form`. Raises FieldMissing."""
    headers = {"Accept": "application/json"}
    escaped = {name: quote(str(value), safe="") for name, value in values.items() if value is not None}
    target = _filled(operation.path, escaped)
    parameters = {name: _rendered(value, values) for name, value in operation.parameters.items()}
    if isinstance(signature, Bearer):
        headers["Authorization"] = f"Bearer {secret}"
    elif isinstance(signature, Digest):
        signed = digest(signature, secret, {name: _text(value) for name, value in parameters.items()})
        if signature.place == "header":
            headers[signature.name] = signed
        else:
            parameters[signature.name] = signed
    if not operation.has_body:
        query = urlencode({name: _text(value) for name, value in parameters.items()})
        return Written(f"{target}?{query}" if query else target, headers, None)
    if form == "form":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return Written(target, headers, urlencode({k: _text(v) for k, v in parameters.items()}).encode())
    headers["Content-Type"] = "application/json"
    return Written(target, headers, json.dumps(parameters, separators=(",", ":")).encode())


def canonical(parameters: Mapping[str, str]) -> str:
    """Sorted by name, `name=value` joined by `&`, as they are (not escaped), empty ones left out."""
    return "&".join(f"{name}={value}" for name, value in sorted(parameters.items()) if value != "")


def digest(signature: Digest, secret: str, parameters: Mapping[str, str]) -> str:
    """The signature of flat parameters."""
    text = canonical(parameters)
    if signature.secret_suffix is not None:
        text += signature.secret_suffix + secret
    if signature.kind == "md5":
        raw = hashlib.md5(text.encode(), usedforsecurity=False).digest()  # what the gateway asks for, not our choice
    else:
        raw = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    if signature.encoding == "base64":
        return base64.b64encode(raw).decode()
    return raw.hex().upper() if signature.encoding == "hex_upper" else raw.hex()


def _rendered(template: JsonValue, values: Values) -> JsonValue:
    if isinstance(template, str):
        alone = template[1:-1] if template.startswith("{") and template.endswith("}") else ""
        value = values.get(alone)
        return value if isinstance(value, int) else _filled(template, values)  # a number stays one where it is alone
    if isinstance(template, dict):
        return {name: _rendered(each, values) for name, each in template.items()}
    if isinstance(template, list):
        return [_rendered(each, values) for each in template]
    return template


def _filled(template: str, values: Values) -> str:
    try:
        return template.format_map({name: value for name, value in values.items() if value is not None})
    except KeyError as missing:
        raise FieldMissing(str(missing.args[0])) from missing


def _text(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
