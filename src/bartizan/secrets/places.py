"""What in a state is sealed, by which of its keys, and where in it: so that a key is never made anew over it, nor retired under it."""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import orjson

from bartizan.secrets.envelope import HEADER_BYTES, sealed_by

_HEADER_TEXT = 4 * HEADER_BYTES // 3
"""Characters of base64 that hold a header: it is a multiple of three bytes."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """One file of a state."""

    file: str
    form: Literal["journal", "whole", "field"]
    """Its lines are sealed, each for its number; all of it is; or the field `key` of its JSON is, in hex."""
    context: str
    """What it is sealed for; a journal's name."""


CONTROL = (
    Sealed("keys.journal", "journal", "keys"),
    Sealed("secrets.journal", "journal", "secrets"),
    Sealed("declared.journal", "journal", "declared"),
    Sealed("brakes.journal", "journal", "brakes"),
    Sealed("accounts.journal", "journal", "accounts"),
    Sealed("authorization.journal", "journal", "authorization"),
    Sealed("fleet.journal", "journal", "fleet"),
    Sealed("unnoted.journal", "journal", "unnoted"),
    Sealed("context.sealed", "whole", "context"),
    Sealed("signing.key", "whole", "signing-key"),
    Sealed("release.key", "whole", "signing-key"),
    Sealed("fleet.authority", "whole", "fleet authority"),
)
HEARD = Sealed("heard", "whole", "heard")
NODE = (
    Sealed("last-good/journal", "journal", "last-good"),
    HEARD,
    Sealed("membership.json", "field", "node certificate key"),
)
KEYS = {"control.key": CONTROL, "node.key": NODE}
"""By the key file of a state."""


def ring_file(key: Path) -> Path:
    """The keyring that belongs to a key file of a state: it stays beside what it opens, wherever the key file is."""
    return key.with_name(f"{key.stem}.keyring")


def sealed_with(key: Path) -> frozenset[str]:
    """The ids of the keys by which something in this state is sealed that this key file is for."""
    return frozenset(ident for one in KEYS.get(key.name, ()) for ident in ids_in(key.parent, one))


def ids_in(state: Path, one: Sealed) -> Iterator[str]:
    """The ids of the keys that sealed what this file of the state holds. What can't be read holds none."""
    try:
        with (state / one.file).open("rb") as file:
            for header in _headers(file, one):
                if (ident := sealed_by(header)) is not None:
                    yield ident
    except (FileNotFoundError, NotADirectoryError):
        return


def _headers(file: BinaryIO, one: Sealed) -> Iterator[bytes]:
    if one.form == "whole":
        yield file.read(HEADER_BYTES)
    elif one.form == "field":
        try:
            yield bytes.fromhex(orjson.loads(file.read())["key"])[:HEADER_BYTES]
        except (ValueError, KeyError, TypeError):
            return
    else:
        # Line by line: a node's journal holds all that it serves.
        for text in {line[:_HEADER_TEXT] for line in file if line.endswith(b"\n")}:
            try:
                yield binascii.a2b_base64(text, strict_mode=True)
            except binascii.Error:
                continue
