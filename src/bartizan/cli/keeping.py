"""`--key-folder`: the keys of a state on another disk than what they open."""

import argparse
from pathlib import Path

from bartizan.cli.output import complain


def key_folder(parser: argparse.ArgumentParser) -> None:
    """The option."""
    told = "keep the keys of the state in this folder, on another disk, from now on; keys that there are move (remembered in keys.at)"
    parser.add_argument("--key-folder", type=Path, metavar="DIR", help=told)


def keep_keys(read: argparse.Namespace, names: tuple[str, ...]) -> None:
    """Does what it says. Unavailable if it can't be."""
    if read.key_folder is None:
        return
    from bartizan.secrets.keyring import keep_elsewhere

    if not keep_elsewhere(read.state.absolute(), read.key_folder, names):
        complain(f"{read.key_folder} is on the same disk as {read.state}: whoever gets that disk has the keys, too")
