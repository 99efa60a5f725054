"""`bartizan secret keys`, `rotate` and `rewrap`: the keys by which a state is sealed."""

import argparse
import time
from typing import Any

from bartizan.cli.noted import noted
from bartizan.cli.output import complain, say, show_json
from bartizan.errors import NotFound
from bartizan.plane.turning import Turned, keyrings, rewrap, rotate
from bartizan.secrets.keyring import Keyring, has_key
from bartizan.secrets.sources import Environment, Transit, kek_of


def shown(read: argparse.Namespace) -> int:
    """Which keys there are, how old, and what wraps them."""
    found: list[dict[str, Any]] = [
        {
            "keyring": ring.path.name,
            "wrapped_by": kept.kek.told(),
            "keys": [{"id": one.id, "state": one.state, "made": one.made} for one in kept.keys],
        }
        for ring in _there(read)
        for kept in (ring.read(),)
    ]
    if read.json:
        show_json(found)
        return 0
    for one in found:
        say(f"{one['keyring']}, wrapped by {one['wrapped_by']}")
        for key in one["keys"]:
            made = time.strftime("%Y-%m-%d %H:%M", time.gmtime(key["made"]))
            say(f"  {key['id']}  {key['state']:<8} since {made} UTC")
    return 0


def turn(read: argparse.Namespace) -> int:
    """Rotates the data keys."""
    _there(read)
    done = rotate(read.state, (lambda _: None) if read.json else say)
    _note(read, "secret.rotate", done)
    if read.json:
        show_json([{"keyring": one.keyring, "current": one.current, "retired": list(one.retired)} for one in done])
    return 0


def wrap(read: argparse.Namespace) -> int:
    """Wraps the data keys by another key-encryption key."""
    _there(read)
    kek = kek_of(read.where, read.kek_token_file, read.kek_ca)
    done = rewrap(read.state, kek)
    _note(read, "secret.rewrap", done, by=kek.told())
    if read.json:
        show_json([{"keyring": one.keyring, "wrapped_by": kek.told()} for one in done])
        return 0
    for one in done:
        say(f"{one.keyring} is wrapped by {kek.told()}")
    if isinstance(kek, Environment) or (isinstance(kek, Transit) and not kek.token_file):
        what = f"the variable {kek.variable}" if isinstance(kek, Environment) else "Vault's token"
        complain(f"what runs goes on, but a process that is started again needs {what}: start `bartizan up` anew with it when you can")
    return 0


def _there(read: argparse.Namespace) -> tuple[Keyring, ...]:
    if not read.state.is_dir() or not (found := keyrings(read.state)):
        raise NotFound(f"There are no keys in {read.state}: nothing was sealed there.", code="keyring-missing")
    return found


def _note(read: argparse.Namespace, action: str, done: tuple[Turned, ...], **details: str) -> None:
    """On a node's machine there is no audit log."""
    if not has_key(read.state / "control.key"):
        return
    for one in done:
        noted(read, action, f"keyring/{one.keyring}", key=one.current, **details)
