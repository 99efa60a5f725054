"""Arguments that commands share."""

import argparse
from pathlib import Path

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
