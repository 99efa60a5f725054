"""Writes the reference from the source: a page for each kind and one for the command line. `python -m bartizan.cli.reference DIR`."""

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bartizan.cli.commands import NAMES
from bartizan.cli.main import parser
from bartizan.cli.output import say
from bartizan.compile.read import TYPES


def kind_page(kind: str) -> str:
    """The manual of a kind, and its fields."""
    model = TYPES[kind]
    manual = (
        importlib.import_module(model.__module__).__doc__ or "" if model.__module__.startswith("bartizan.policies") else model.__doc__ or ""
    )
    lines = [f"# {kind}", "", manual.strip(), "", "## Fields", ""]
    lines += list(_fields(model.model_json_schema(by_alias=True)))
    return "\n".join(lines) + "\n"


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


def commands_page() -> str:
    """The help of every command."""
    whole = parser()
    chosen = next(action for action in whole._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001 - argparse offers no other way
    parts = ["# The command line", ""]
    for name in NAMES:
        parts += [f"## bartizan {name}", "", "```", chosen.choices[name].format_help().rstrip(), "```", ""]
    return "\n".join(parts)


def main(arguments: Sequence[str]) -> int:
    """Writes all pages into a folder."""
    folder = Path(arguments[0] if arguments else "docs/reference")
    folder.mkdir(parents=True, exist_ok=True)
    for kind in TYPES:
        (folder / f"{kind}.md").write_text(kind_page(kind), encoding="utf-8")
    (folder / "commands.md").write_text(commands_page(), encoding="utf-8")
    say(f"{len(TYPES) + 1} pages in {folder}")
    return 0


__all__ = ["commands_page", "kind_page", "main"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
