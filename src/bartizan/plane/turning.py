"""The rotation of a state's keys, while a gateway serves or not: another data key, everything sealed anew, the old key's end.

Nothing is ever sealed with a key that is on its way out: whoever seals looks at the keyring first, a journal is sealed anew under its
lock, and a file of its own under the keyring's. A rotation that was cut off is finished by the next one.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bartizan.errors import Unavailable
from bartizan.identity.journal import Journal
from bartizan.lib.files import locked_at_once, replaced
from bartizan.node import membership
from bartizan.node.last_good import LastGood
from bartizan.node.options import NodeOptions
from bartizan.secrets import turning
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.keyring import Keyring, load_or_create
from bartizan.secrets.places import CONTROL, HEARD, KEYS, Sealed, ring_file, sealed_with
from bartizan.secrets.sources import AnyKek, File

HANDED_S = 2.0
"""So long an old key hands over the new one at least: whoever has the state open looks more often."""
_NODE_S = 30.0


@dataclass(frozen=True, slots=True)
class Turned:
    """What became of one keyring."""

    keyring: str
    current: str
    retired: tuple[str, ...] = ()


def keyrings(state: Path) -> tuple[Keyring, ...]:
    """Those of a state; what is of before has one made. Unavailable if one can't be opened, or the state is another user's."""
    if (found := state.stat()).st_uid != os.geteuid():
        raise Unavailable(
            f"{state} belongs to another user (uid {found.st_uid}): change its keys as that one.", code="state-of-another-user"
        )
    names = [name for name in KEYS if ring_file(state / name).exists() or (state / name).exists() or sealed_with(state / name)]
    for name in names:
        load_or_create(state / name)
    return tuple(Keyring(state / name) for name in names)


def rotate(state: Path, say: Callable[[str], None]) -> tuple[Turned, ...]:
    """Makes another data key for each keyring of a state, and has everything in it sealed with that; then takes the old ones away. `say`
    tells how far it is. Unavailable if something can't be sealed anew: then the old keys stay, and all can be read."""
    return tuple(_rotated(ring, say) for ring in keyrings(state))


def rewrap(state: Path, kek: AnyKek) -> tuple[Turned, ...]:
    """Wraps the data keys of each keyring of a state by this key-encryption key."""
    done = []
    for ring in keyrings(state):
        with ring.alone():
            turning.rewrap(ring, kek)
            done.append(Turned(ring.path.name, ring.read().keys[0].id))
    return tuple(done)


def _rotated(ring: Keyring, say: Callable[[str], None]) -> Turned:
    with ring.alone():
        bare = turning.is_bare(ring)
        current, began = turning.add(ring), time.monotonic()
        say(f"{ring.path.name}: the key {current} is the current one")
        envelope = load_or_create(ring.key)
        envelope.look()
        if ring.key.name == "node.key":
            _reseal_node(ring, envelope)
        else:
            for one in CONTROL:
                _reseal(ring, envelope, one)
        time.sleep(max(0.0, began + HANDED_S - time.monotonic()))
        if left := sealed_with(ring.key) - {current}:
            told = f"Something in {ring.key.parent} is still sealed with {', '.join(sorted(left))}: the old keys stay. Rotate again."
            raise Unavailable(told, code="rotation-unfinished")
        if bare:
            turning.rewrap(ring, File())
        retired = turning.retire(ring)
        say(f"{ring.path.name}: {', '.join(retired)} is retired")
        return Turned(ring.path.name, current, retired)


def _reseal(ring: Keyring, envelope: Envelope, one: Sealed) -> None:
    path = ring.key.parent / one.file
    if not path.exists():
        return
    if one.form == "journal":
        journal = Journal(path, envelope, one.context)
        try:
            journal.reseal()
        finally:
            journal.close()
        return
    with ring.changing():
        try:
            replaced(path, envelope.seal(envelope.open(path.read_bytes(), one.context), one.context))
        except OSError as error:
            raise Unavailable(f"{path} can't be sealed anew: {error.strerror or error}.", code="reseal-failed") from error


def _reseal_node(ring: Keyring, envelope: Envelope) -> None:
    """By the node, if one runs; else in its place."""
    state, end = ring.key.parent, time.monotonic() + _NODE_S
    while time.monotonic() < end:
        with _instead_of_a_node(state) as free:
            if free:
                store = LastGood(NodeOptions(state, None, "").last_good, envelope)
                store.load()
                store.reseal()
                _reseal(ring, envelope, HEARD)
                membership.reseal(state)
                return
        if not sealed_with(ring.key) - {envelope.key_id}:
            return
        time.sleep(0.1)
    told = f"The node in {state} hasn't sealed what it keeps with the new key after {_NODE_S:.0f} s: the old keys stay. See its log."
    raise Unavailable(told, code="rotation-unfinished")


@contextmanager
def _instead_of_a_node(state: Path) -> Iterator[bool]:
    """Whether no node runs with this state; none can begin meanwhile."""
    descriptor = os.open(state / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield locked_at_once(descriptor)
    finally:
        os.close(descriptor)
