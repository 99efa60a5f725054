"""`bartizan schema`: the JSON Schema of everything one can declare, for editors."""

import argparse
from typing import Any

from bartizan.cli.output import show_json
from bartizan.compile.read import TYPES

NAME = "schema"
HELP = "Print the JSON Schema of all kinds, or of one, so that editors complete and check YAML."
EXAMPLES = ("bartizan schema > bartizan.schema.json", "bartizan schema RateLimit")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("kind", nargs="?", choices=sorted(TYPES), help="one kind; by default all")


def run(read: argparse.Namespace) -> int:
    """Prints."""
    show_json(_of(read.kind) if read.kind else everything())
    return 0


def _of(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = TYPES[kind].model_json_schema(by_alias=True)
    required = found.setdefault("required", [])
    if "kind" not in required:
        required.insert(0, "kind")
    return found


def everything() -> dict[str, Any]:
    """One schema: which kind's applies depends on `kind`."""
    definitions: dict[str, Any] = {}
    branches = []
    for kind in TYPES:
        one = TYPES[kind].model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
        definitions.update(one.pop("$defs", {}))
        definitions[kind] = one
        branches.append({"if": {"properties": {"kind": {"const": kind}}}, "then": {"$ref": f"#/$defs/{kind}"}})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Bartizan",
        "type": "object",
        "required": ["kind", "name"],
        "properties": {"kind": {"enum": list(TYPES)}},
        "allOf": branches,
        "$defs": definitions,
    }
