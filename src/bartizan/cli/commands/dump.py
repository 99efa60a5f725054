"""`bartizan dump`: a kept revision as YAML, or what the files compile to, as Envoy is told it. No secret is in either."""

import argparse
from typing import Any

from bartizan.cli.arguments import files, store, team
from bartizan.cli.compiled import compiled
from bartizan.cli.output import complain, show_json, show_problems
from bartizan.cli.remote import server
from bartizan.compile import Compiled, resources, shared, stamp
from bartizan.envoy import message_type, to_dict

NAME = "dump"
HELP = (
    "Print a kept revision as YAML; or, with -f, what files compile to, as Envoy's own resources. Credentials aren't among either, "
    "and consumers and issuers aren't part of revisions."
)
EXAMPLES = (
    "bartizan dump 12",
    "bartizan dump 9d61 --state /var/lib/bartizan",
    "bartizan dump 12 --file lists/offices.txt > offices.txt",
    "bartizan dump 12 --server https://gateway.example:9181 --token-file ~/.bartizan-token",
    "bartizan dump -f policies/",
    "bartizan dump -f policies/ | jq '.[\"envoy.config.route.v3.RouteConfiguration\"]'",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("revision", nargs="?", metavar="REVISION", help="its number, or its name or the beginning of that (`bartizan log`)")
    parser.add_argument("--file", metavar="NAME", help="print this file, which a policy of the revision names, as it was then")
    team(parser)
    files(parser, required=False)
    store(parser)
    server(parser)


def run(read: argparse.Namespace) -> int:
    """Prints."""
    if (read.revision is None) == (read.files is None) or (read.server is not None and read.revision is None):
        complain("give either a REVISION or files (-f).\nSee 'bartizan dump --help'.")
        return 64
    if read.revision is not None:
        from bartizan.cli.history import dump

        return dump(read)
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
