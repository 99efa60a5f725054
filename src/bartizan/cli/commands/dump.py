"""`bartizan dump`: what the files compile to, as Envoy is told it. No secret is in it."""

import argparse
from typing import Any

from bartizan.cli.arguments import files
from bartizan.cli.compiled import compiled
from bartizan.cli.output import show_json, show_problems
from bartizan.compile import Compiled, resources, shared, stamp
from bartizan.envoy import message_type, to_dict

NAME = "dump"
HELP = "Print what the files compile to, as Envoy's own resources. Credentials aren't among them."
EXAMPLES = ("bartizan dump -f policies/", "bartizan dump -f policies/ | jq '.[\"envoy.config.route.v3.RouteConfiguration\"]'")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    files(parser)


def run(read: argparse.Namespace) -> int:
    """Prints."""
    made = compiled(read.files)
    if not isinstance(made, Compiled):
        show_problems(made)
        return 1
    show_json(dumped(made))
    return 0


def dumped(made: Compiled) -> dict[str, dict[str, Any]]:
    """By the messages' names and the resources' names."""
    found: dict[str, dict[str, Any]] = {}
    for (type_url, name), body in {**resources(made, stamp(made, {})), **shared(made)}.items():
        kind = type_url.rpartition("/")[2]
        found.setdefault(kind, {})[name] = to_dict(message_type(kind).FromString(body))
    return found
