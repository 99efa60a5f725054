"""`bartizan version`: ours and Envoy's."""

import argparse

from bartizan import __version__
from bartizan.cli.arguments import as_json
from bartizan.cli.output import say, show_json
from bartizan.envoy import binary
from bartizan.envoy.program import checked_version

NAME = "version"
HELP = "Show the versions of Bartizan and of its Envoy."
EXAMPLES = ("bartizan version",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    as_json(parser)


def run(read: argparse.Namespace) -> int:
    """Shows."""
    envoy = checked_version(binary())
    if read.json:
        show_json({"bartizan": __version__, "envoy": envoy})
    else:
        say(f"bartizan {__version__}\nenvoy {envoy}")
    return 0
