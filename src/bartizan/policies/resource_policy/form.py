"""The document's JSON Schema, for editors. What it can't say is checked where the document is read."""

from typing import Any

_TEXTS: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_VALUE: dict[str, Any] = {"type": ["string", "number", "boolean"]}
_VALUES: dict[str, Any] = {"anyOf": [_VALUE, {"type": "array", "items": _VALUE, "minItems": 1}]}
_PRINCIPALS: dict[str, Any] = {
    "anyOf": [
        {"const": "*"},
        {"type": "object", "properties": {"AWS": _TEXTS, "Federated": _TEXTS}, "additionalProperties": False, "minProperties": 1},
    ]
}
_CONDITION: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": _VALUES}}
_STATEMENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "Sid": {"type": "string"},
        "Effect": {"enum": ["Allow", "Deny"]},
        "Principal": _PRINCIPALS,
        "NotPrincipal": _PRINCIPALS,
        "Action": _TEXTS,
        "NotAction": _TEXTS,
        "Resource": _TEXTS,
        "NotResource": _TEXTS,
        "Condition": _CONDITION,
    },
    "required": ["Effect"],
    "additionalProperties": False,
}
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "Version": {"enum": ["2012-10-17", "2008-10-17"]},
        "Id": {"type": "string"},
        "Statement": {"anyOf": [_STATEMENT, {"type": "array", "items": _STATEMENT, "minItems": 1}]},
    },
    "required": ["Statement"],
    "additionalProperties": False,
}
