"""What references to secrets lead to: the one place where a variable, a file or a named secret is read for whoever refers to it."""

import os
from pathlib import Path

from bartizan.identity.named import NamedSecrets
from bartizan.model.fields import SecretRef
from bartizan.model.named import OWN, Use

UNREADABLE = (OSError, KeyError, UnicodeDecodeError)
"""What `secret_text` raises, without the secret, if a reference leads nowhere."""


def secret_text(reference: SecretRef, folder: Path, named: NamedSecrets | None = None, use: Use = OWN) -> str:
    """What a reference leads to, for this use. A named secret is looked at each time: one that was deleted, or granted otherwise, leads
    nowhere from then on, whatever the revision says."""
    if reference.secret is not None:
        if named is None:
            raise KeyError(reference.secret)
        return named.used(reference.secret, use).value.reveal()
    if reference.env is not None:
        return os.environ[reference.env]
    return (folder / str(reference.file)).read_text(encoding="utf-8").removesuffix("\n")
