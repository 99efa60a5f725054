"""Claims of tokens as the texts of headers, as Envoy's token filter writes them: whoever else tells a claim writes it just so."""

import base64
from typing import Any

import orjson


def claim_text(value: Any) -> str:
    """A claim as text: lists and objects are base64 of JSON. Empty if there is none to write. ValueError for what JSON can't hold."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return str(int(value)) if float(value).is_integer() and abs(value) < 2**63 else f"{value:f}"
    try:
        return base64.b64encode(orjson.dumps(value)).decode()
    except orjson.JSONEncodeError as error:
        raise ValueError("it can't be written as JSON") from error
