"""Arguments that commands share."""

import argparse
from pathlib import Path

from bartizan.compile import Compiled, compile
from bartizan.identity.certificates import Certificates
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.folder import Folder

STATE = Path(".bartizan")


def files(parser: argparse.ArgumentParser) -> None:
    """`-f`: the files."""
    parser.add_argument("-f", "--files", type=Path, required=True, metavar="PATH", help="the YAML file, or the folder of them")


def state(parser: argparse.ArgumentParser) -> None:
    """`--state`: where a gateway keeps what it must remember."""
    parser.add_argument("--state", type=Path, default=STATE, metavar="DIR", help="where keys, records and sockets are (default: .bartizan)")


def as_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def compiled(path: Path) -> Compiled | tuple[Problem, ...]:
    """What the files compile to, or all that is wrong with them."""
    folder = Folder(path)
    found = folder.snapshot()
    if not isinstance(found, Snapshot):
        return found
    made = compile(found)
    return made.problems or tuple(Certificates(folder.base).problems(found)) or made
