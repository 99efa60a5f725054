"""`bartizan`: reads the arguments and runs a command. Exit status 0, 1 (refused or failed), 2 (differs), 64 (wrong use)."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from bartizan import __version__
from bartizan.cli.commands import NAMES, command
from bartizan.cli.output import complain, show_problems
from bartizan.errors import BartizanError, Invalid
from bartizan.lib.dumps import no_dumps
from bartizan.model.problem import Problem

USAGE = 64


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        complain(f"{message}\nSee '{self.prog} --help'.")
        sys.exit(USAGE)


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The whole command line; or, with `only`, as much of it as that command needs."""
    whole = _Parser(prog="bartizan", description="An API gateway whose security policies can be changed without fear.")
    whole.add_argument("--version", action="version", version=f"bartizan {__version__}")
    commands = whole.add_subparsers(metavar="COMMAND", parser_class=_Parser)
    for name in NAMES if only is None else (only,):
        one = command(name)
        added = commands.add_parser(
            name,
            help=one.HELP,
            description=one.HELP,
            epilog="examples:\n" + "\n".join(f"  {line}" for line in one.EXAMPLES),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.arguments(added)
        added.set_defaults(run=one.run)
    return whole


def main() -> int:
    """Runs the command that the arguments name."""
    no_dumps()
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    whole = parser(first if first in NAMES else None)
    arguments = whole.parse_args()
    if not hasattr(arguments, "run"):
        whole.print_help()
        return USAGE
    return run(arguments)


def run(arguments: argparse.Namespace) -> int:
    """Runs a command, and says what kept it from being done."""
    try:
        return int(arguments.run(arguments))
    except BartizanError as error:
        complain(str(error))
        if isinstance(error, Invalid) and error.problems:
            show_problems(one for one in error.problems if isinstance(one, Problem))
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())


__all__: Sequence[str] = ["main", "parser"]
