"""The store on the command line: which one, whose signatures count in it, and how moments are written."""

import argparse
import calendar
import time
from contextlib import suppress
from pathlib import Path

from bartizan.cli.arguments import lasting
from bartizan.cli.output import complain
from bartizan.errors import Invalid
from bartizan.secrets.keyring import has_key, load_or_create
from bartizan.secrets.seal import Signatures, public_key
from bartizan.secrets.signing import SigningKey
from bartizan.store import Store, embedded, open_store
from bartizan.store.opening import HEAD


def opened(read: argparse.Namespace) -> Store:
    """The store, for reading."""
    return open_store(read.store or embedded(read.state), signatures(read), head=read.state / HEAD, create=False)


def signatures(read: argparse.Namespace) -> Signatures | None:
    """Whose signatures count: the keys that are given and the state's own. None, and a warning, if there are none of either."""
    trusted = [public_key(text) for text in read.public_key]
    sealed, key = read.state / "control.key", read.state / "signing.key"
    own = SigningKey(key, load_or_create(sealed)) if has_key(sealed) and _is_there(key) else None  # none is made only to read
    if own is None and not trusted:
        complain(f"no signature is checked: there is no key in {read.state}, and none is given with --public-key")
        return None
    return Signatures(own, trusted)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def moment(time_ms: int) -> str:
    """A moment as people read it, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ms / 1000))


def since_ms(text: str) -> int:
    """`24h`, `30m`: so long ago; or a moment as `moment` writes it, or its day alone."""
    with suppress(argparse.ArgumentTypeError):
        return round((time.time() - lasting(text)) * 1000)
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"):
        try:
            return int(calendar.timegm(time.strptime(text, form)) * 1000)
        except ValueError:
            continue
    raise Invalid(f"{text!r} isn't a time such as 24h, 30m, 2026-11-22 or 2026-11-22T09:30:00Z")
