"""Where the keys of a state are: `--key-folder`, another disk for the key files; `--kek`, another place of the key-encryption key."""

import argparse
from pathlib import Path

from bartizan.cli.output import complain
from bartizan.errors import Conflict, Invalid


def key_folder(parser: argparse.ArgumentParser) -> None:
    """The options."""
    told = "keep the keys of the state in this folder, on another disk, from now on; keys that there are move (remembered in keys.at)"
    parser.add_argument("--key-folder", type=Path, metavar="DIR", help=told)
    told = (
        "where the key is that wraps the keys of a new state: file, env:BARTIZAN_KEY or https://VAULT/v1/transit/keys/NAME (default: file)"
    )
    parser.add_argument("--kek", metavar="WHERE", help=f"{told}; remembered in the state")
    vault(parser)


def vault(parser: argparse.ArgumentParser) -> None:
    """What goes with a key in Vault."""
    told = "the file with Vault's token (else the variable BARTIZAN_VAULT_TOKEN or VAULT_TOKEN)"
    parser.add_argument("--kek-token-file", type=Path, metavar="FILE", help=told)
    parser.add_argument("--kek-ca", type=Path, metavar="FILE", help="the certificates of whoever issued Vault's certificate (PEM)")


def keep_keys(read: argparse.Namespace, names: tuple[str, ...]) -> None:
    """Does what they say. Unavailable if it can't be, Conflict if the state's keys are wrapped by another key-encryption key."""
    if read.kek is not None:
        _wrap(read, names)
    elif read.kek_token_file is not None or read.kek_ca is not None:
        raise Invalid("--kek-token-file and --kek-ca go with --kek https://VAULT/v1/transit/keys/NAME.")
    if read.key_folder is None:
        return
    from bartizan.secrets.keyfile import keep_elsewhere

    if not keep_elsewhere(read.state.absolute(), read.key_folder, names):
        complain(f"{read.key_folder} is on the same disk as {read.state}: whoever gets that disk has the keys, too")


def _wrap(read: argparse.Namespace, names: tuple[str, ...]) -> None:
    from bartizan.secrets.keyring import kek_at, load_or_create
    from bartizan.secrets.sources import File, kek_of

    kek = kek_of(read.kek, read.kek_token_file, read.kek_ca)
    if read.key_folder is not None:
        if not isinstance(kek, File):
            raise Invalid(f"--key-folder is for key files; with {kek.told()} there are none.")
        return
    for name in names:
        path = read.state.absolute() / name
        if kek_at(path) is None:
            load_or_create(path, kek)
        if (known := kek_at(path)) is not None and known != kek:
            told = f"The keys of {read.state} are wrapped by {known.told()}, not by {kek.told()}."
            raise Conflict(f"{told} To change that, also while it serves: `bartizan secret rewrap {read.kek}`.", code="kek-differs")
