"""Changes of a keyring: another data key, the end of those before it, another key-encryption key. Each is one write, or none."""

import base64
import secrets
import time

from bartizan.secrets.envelope import KEY_BYTES, Envelope, key_ident
from bartizan.secrets.keyfile import placed, read_key
from bartizan.secrets.keyring import Entry, Keyring
from bartizan.secrets.sources import AnyKek, File, Place


def add(ring: Keyring) -> str:
    """Makes another data key the current one, and returns its id. Those before it go on opening, and hand it over to whoever holds them.
    Only while `alone`, as all here."""
    kept = ring.read()
    former = ring.keys(kept, {})
    made = secrets.token_bytes(KEY_BYTES)
    handing = ring.handing(key_ident(made).hex())
    handed = {key_ident(one).hex(): base64.b64encode(Envelope(one).seal(made, handing)).decode() for one in former}
    current = ring.wrapped(made, kept.kek, "current", time.time()).model_copy(update={"handed": handed})
    before = (one.model_copy(update={"state": "former", "handed": {}}) for one in kept.keys)
    with ring.changing():
        ring.write(kept.model_copy(update={"keys": (current, *before)}))
    return current.id


def retire(ring: Keyring) -> tuple[str, ...]:
    """Takes all keys away but the current one; their ids. Only when nothing is sealed with them any more."""
    with ring.changing():
        kept = ring.read()
        ring.write(kept.model_copy(update={"keys": (kept.keys[0].model_copy(update={"handed": {}}),)}))
        return tuple(one.id for one in kept.keys[1:])


def rewrap(ring: Keyring, kek: AnyKek) -> None:
    """Wraps the data keys by another key-encryption key, or by a new one of the same place. They themselves stay. A crash at any moment
    leaves them with the one or with the other."""
    with ring.changing():
        kept = ring.read()
        keys = ring.keys(kept, {})
        kek.prepare(ring.key)
        entries = tuple(_rewrapped(one, ring, kek, key) for one, key in zip(kept.keys, keys, strict=True))
        for entry, key in zip(entries, keys, strict=True):
            if kek.unwrap(entry.wrapped, Place(ring.key, entry.id)) != key:
                raise ValueError(f"{kek.told()} doesn't unwrap what it wrapped")
        ring.write(kept.model_copy(update={"kek": kek, "keys": entries}))
        kek.settle(ring.key, entries[0].wrapped)
        if not isinstance(kek, File):
            placed(ring.key).unlink(missing_ok=True)


def _rewrapped(one: Entry, ring: Keyring, kek: AnyKek, key: bytes) -> Entry:
    return one.model_copy(update={"wrapped": kek.wrap(key, Place(ring.key, one.id))})


def is_bare(ring: Keyring) -> bool:
    """Whether a data key lies in the key file, as in states of before: then that is replaced with it."""
    kept = ring.read()
    if not isinstance(kept.kek, File):
        return False
    held = key_ident(read_key(placed(ring.key))).hex()
    return any(one.id == held for one in kept.keys)
