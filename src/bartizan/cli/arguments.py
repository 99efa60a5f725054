"""Arguments that commands share."""

import argparse
import os
from datetime import datetime
from pathlib import Path

from bartizan.model.fields import UNITS

_LONGEST_S = 100 * 365 * UNITS["d"]
STATE = Path(".bartizan")
STORE = "BARTIZAN_STORE"
"""The variable that names the store; unlike an argument it doesn't show in the list of processes."""


def files(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """`-f`: the files."""
    parser.add_argument("-f", "--files", type=Path, required=required, metavar="PATH", help="the YAML file, or the folder of them")


def state(parser: argparse.ArgumentParser) -> None:
    """`--state`: where a gateway keeps what it must remember."""
    parser.add_argument("--state", type=Path, default=STATE, metavar="DIR", help="where keys, records and sockets are (default: .bartizan)")


def as_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def store(parser: argparse.ArgumentParser) -> None:
    """`--state`, `--store` and `--public-key`."""
    state(parser)
    parser.add_argument(
        "--store",
        default=os.environ.get(STORE, ""),
        metavar="URL",
        help=f"the store, if it isn't the one in the state: sqlite:///PATH or postgresql://HOST/DATABASE (default: ${STORE})",
    )
    parser.add_argument(
        "--public-key",
        action="append",
        default=[],
        metavar="HEX",
        help="a key whose signatures count, besides the state's own; may be given more than once",
    )


def team(parser: argparse.ArgumentParser) -> None:
    """`--team`."""
    parser.add_argument("--team", default="default", metavar="NAME", help="whose revisions (default: default)")


def lasting(text: str) -> float:
    """A while, such as `30m`, in seconds; a hundred years at most."""
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdecimal() and unit in UNITS) or not 0 < (seconds := int(number) * UNITS[unit]) <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a while such as 90s, 30m, 12h or 7d")
    return seconds


def moment(text: str) -> datetime:
    """A time with its zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a time with its zone, such as 2026-11-23T09:00:00+01:00")
    return found


def endpoint(text: str) -> tuple[str, int]:
    """`HOST:PORT`, or `[IPv6]:PORT`."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} isn't an address and a port, such as 10.0.0.1:9190")
    return host, int(port)
