"""The manual of each kind, from its source: what it does, an example, and its fields."""

import re
import sys
from collections.abc import Iterator
from typing import Any

from bartizan.compile.read import TYPES
from bartizan.policies import PolicyKind


def kind_page(kind: str) -> str:
    """The manual of a kind, and its fields."""
    lines = [f"# {kind}", "", manual(kind), "", "## Fields", ""]
    lines += list(_fields(TYPES[kind].model_json_schema(by_alias=True)))
    return "\n".join(lines) + "\n"


def manual(kind: str) -> str:
    """What there is to know of a kind, in Markdown, without its fields."""
    model = TYPES[kind]
    written = sys.modules[model.__module__].__doc__ if issubclass(model, PolicyKind) else model.__doc__
    return (written or "").strip()


def summary(kind: str) -> str:
    """The manual's first sentence."""
    first = manual(kind).split("\n\n")[0].removeprefix("#").strip()
    found = re.match(r"(.+?[.!?])(\s|$)", " ".join(first.split()))
    return found[1] if found else first


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    yield "| field | type | default | what |"
    yield "|---|---|---|---|"
    yield from _rows(schema, schema, "")
    for name, inner in sorted(schema.get("$defs", {}).items()):
        if inner.get("properties"):
            yield ""
            yield f"### {name}"
            yield ""
            yield inner.get("description", "")
            yield ""
            yield "| field | type | default | what |"
            yield "|---|---|---|---|"
            yield from _rows(inner, schema, "")


def _rows(schema: dict[str, Any], whole: dict[str, Any], prefix: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        default = "" if name in required or "default" not in field else f"`{field['default']}`"
        what = field.get("description", "").replace("|", "\\|")
        yield f"| `{prefix}{name}` | {_type(field, whole)} | {default or ('required' if name in required else '')} | {what} |"


def _type(field: dict[str, Any], whole: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{one}`" for one in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type(one, whole) for one in field["anyOf"] if one.get("type") != "null")
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}), whole)}"
    return str(field.get("type", "any"))
