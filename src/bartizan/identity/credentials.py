"""Who may call, as Envoy's tables: keys from the store and keys that consumers bring along, with their consumers' attributes."""

import itertools
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bartizan.envoy.names import CERTIFICATE_KEY, certificate_key, fingerprint_key
from bartizan.identity.context import NOTHING
from bartizan.identity.key_record import KeyRecord
from bartizan.identity.key_text import ALL_SHARDS, SHORTEST, shard_of
from bartizan.identity.keys import KeyStore
from bartizan.identity.named import NamedSecrets
from bartizan.identity.referred import UNREADABLE, secret_text
from bartizan.identity.retold import GONE, Retold
from bartizan.identity.scopes import are_declared
from bartizan.identity.table import ConsumerView, identity, order_mark, tables
from bartizan.identity.timed import Timed
from bartizan.model.consumer import Consumer
from bartizan.model.snapshot import Snapshot
from bartizan.secrets.sealed import Secret

_log = logging.getLogger("bartizan")
ALL = frozenset(ALL_SHARDS)


def view(consumer: Consumer) -> ConsumerView:
    """What Envoy is told of a consumer."""
    attributes = {name: tuple(value) if isinstance(value, list) else value for name, value in consumer.attributes.items()}
    return ConsumerView(consumer.name, consumer.groups, attributes)


def _is_key(text: str) -> bool:
    printable = text.isascii() and text.isprintable() and " " not in text and "," not in text
    return printable and len(text) >= SHORTEST and not text.startswith(CERTIFICATE_KEY)


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _one_owner_each(brought: Iterable[KeyRecord], warnings: list[str]) -> Iterator[KeyRecord]:
    """Without the credentials that several consumers bring: nobody could say whom they mean."""
    owners: dict[str, set[str]] = {}
    records = list(brought)
    for record in records:
        owners.setdefault(record.key.reveal(), set()).add(record.consumer)
    for record in records:
        several = owners[record.key.reveal()]
        if len(several) == 1:
            yield record
        else:
            others = ", ".join(sorted(several - {record.consumer}))
            warnings.append(f"Consumer/{record.consumer}: {record.id} is also a credential of {others}; it is refused")


def changed(old: Mapping[str, Consumer], new: Mapping[str, Consumer]) -> frozenset[str]:
    """The names of those who came, went, or are declared otherwise."""
    if old is new or old == new:  # nearly always, and soon told
        return frozenset()
    others = [name for name, consumer in new.items() if old.get(name) is not consumer]
    return frozenset(name for name in (*others, *(old.keys() - new.keys())) if old.get(name) != new.get(name))


def count_alike(old: Mapping[str, Consumer], new: Mapping[str, Consumer], names: Iterable[str]) -> bool:
    """Whether all that differs of these consumers is what is told of them, and not which of their credentials count."""
    pairs = ((old.get(name), new.get(name)) for name in names)
    return all(a is not None and b is not None and _told_as(a, b) == b for a, b in pairs)


def have_gone(consumers: Mapping[str, Consumer], names: Iterable[str]) -> bool:
    """Whether none of these counts, whenever."""
    return not any(name in consumers and consumers[name].counts() for name in names)


def _told_as(consumer: Consumer, other: Consumer) -> Consumer:
    return consumer.model_copy(update={"attributes": other.attributes, "groups": other.groups})


@dataclass(slots=True)
class Tables:
    """The key tables, rebuilt only where something changed."""

    store: KeyStore
    folder: Path
    bodies: dict[str, bytes] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    braked: frozenset[str] = frozenset()
    """The ids of keys that an operator stops for a while: they are in no table."""
    named: NamedSecrets | None = None
    fields: Mapping[str, str] | None = None
    """What tables tell of a consumer beside its id and groups, with the types; by default the attributes that the files declare."""
    context: Callable[[str], Mapping[str, Any]] = field(default=lambda _: NOTHING)
    """What context sources say of a consumer."""
    ahead: Retold = field(default_factory=Retold)
    """What is told of consumers ahead of their tables."""
    _stamps: dict[Path, tuple[int, ...]] = field(default_factory=dict)
    _told: dict[tuple[str, tuple[str, ...]], tuple[Consumer, tuple[str, str]]] = field(default_factory=dict)
    """Consumers and the scopes of keys, with the identity as the tables tell it."""
    _scopes: set[tuple[str, ...]] = field(default_factory=set)
    """All scopes of keys that are in there."""
    _attributes: Mapping[str, str] = field(default_factory=dict)
    """The declared ones, for which that holds."""
    _timed: Timed = field(default_factory=Timed)

    def is_stale(self) -> bool:
        """Whether a file of a brought key has changed since all tables were made."""
        return any(_stamp(path) != stamp for path, stamp in self._stamps.items())

    def rebuild(self, snapshot: Snapshot, now: float, only: Iterable[str] = ALL) -> None:
        """Makes the tables of these shards anew."""
        wanted = frozenset(only)
        warnings: list[str] = []
        self._timed.take(snapshot.consumers, now)
        files = {path: _stamp(path) for path in self._files(snapshot.consumers)}
        brought = list(_one_owner_each(self._brought(snapshot.consumers, warnings), warnings))
        self.warnings = tuple(warnings)
        if wanted == ALL:
            self._stamps = files
        fields = snapshot.gateway.attributes if self.fields is None else self.fields
        if list(self._attributes.items()) != list(fields.items()):  # their order counts too
            self._attributes = fields
            self.forget()
        held = self.store.live(now, tuple(wanted))
        records = [*(one for one in held if one.id not in self.braked), *brought]
        made = tables(records, lambda name, scopes: self._identity(snapshot.consumers.get(name), scopes), wanted)
        self.bodies = {shard: made[shard] if shard in wanted else self.bodies[shard] for shard in ALL_SHARDS}
        self.ahead.drop(wanted)

    def tell_ahead(self, consumers: Mapping[str, Consumer], names: Collection[str]) -> bool:
        """Tells of consumers who count as before what holds of them now, without their tables, which tell it later: `ahead.due` says when.
        False if they have too many keys for that: then `rebuild` what they touch."""
        self._forget_of(names)
        there = {name: consumers[name] for name in names if name in consumers}
        found: dict[str, dict[str, str]] = {}
        for record in (*self.store.of(there), *self._brought(there, [])):
            if (parts := self._identity(there[record.consumer], record.scopes)) is not None:
                entry = f"{parts[0]}{record.id}{parts[1]}"
                found.setdefault(shard_of(record.key.reveal()), {})[f"{parts[0]}{record.id};"] = entry
        return self.ahead.tell(found, time.monotonic())

    def tell_gone(self, consumers: Mapping[str, Consumer], names: Collection[str]) -> bool:
        """Has consumers refused who count no more, as they were declared when they did, before their tables refuse them: have these made
        anew right after. False if they have too many keys for that."""
        there, found = {name: consumers[name] for name in names if name in consumers}, dict[str, dict[str, str]]()
        for record in (*self.store.of(names), *self._brought(there, [])):
            begins = f"{order_mark(self._attributes)}{record.consumer};{record.id};"
            found.setdefault(shard_of(record.key.reveal()), {})[begins] = GONE
        return self.ahead.tell(found, time.monotonic())

    def _identity(self, consumer: Consumer | None, scopes: tuple[str, ...]) -> tuple[str, str] | None:
        if consumer is None or not self._timed.counts(consumer) or (scopes and not are_declared(self._attributes)):
            return None
        known = self._told.get((consumer.name, scopes))
        if known is None or known[0] is not consumer:
            made = identity(view(consumer).beside(self.context(consumer.name)).scoped(scopes), self._attributes)
            known = self._told[consumer.name, scopes] = (consumer, made)
            self._scopes.add(scopes)
        return known[1]

    def turned(self, now: float) -> frozenset[str]:
        """The shards of consumers that begin to count, or count no more, by the clock."""
        found = self._timed.turned(now)
        for one in found:
            how = "count from now on" if self._timed.counts(one) else "are refused from now on"
            _log.info("the credentials of Consumer/%s %s: it lives only for a time", one.name, how)
        return self._shards_of(found, [one.name for one in found]) if found else frozenset()

    def timed_warnings(self, now: float) -> list[str]:
        """Of consumers that live only for a time."""
        return list(self._timed.warnings(now))

    def forget(self) -> None:
        """Whatever is told of consumers is told anew by the next `rebuild`."""
        self._told, self._scopes = {}, set()

    def _forget_of(self, names: Iterable[str]) -> None:
        for who in itertools.product(names, self._scopes):
            self._told.pop(who, None)

    def retold(self, consumers: Mapping[str, Consumer], names: Collection[str]) -> frozenset[str]:
        """The shards of consumers of whom context sources say something else."""
        self._forget_of(names)
        there = [consumers[name] for name in names if name in consumers]
        return self._shards_of(there, {one.name for one in there}) if there else frozenset()

    def touched(self, old: Mapping[str, Consumer], new: Mapping[str, Consumer]) -> frozenset[str]:
        """The shards that a change of these consumers touches."""
        names = changed(old, new)
        return self._shards_of((one for name in names for one in (old.get(name), new.get(name)) if one is not None), names)

    def _shards_of(self, consumers: Iterable[Consumer], names: Collection[str]) -> frozenset[str]:
        """Where the keys of consumers of these names are, as they are or were declared."""
        return ALL if any(one.credentials for one in consumers) else self.store.shards_of(names)

    def _files(self, consumers: Mapping[str, Consumer]) -> Iterator[Path]:
        for consumer in consumers.values():
            for credential in consumer.credentials:
                if credential.api_key is not None and credential.api_key.file is not None:
                    yield self.folder / credential.api_key.file

    def _brought(self, consumers: Mapping[str, Consumer], warnings: list[str]) -> Iterator[KeyRecord]:
        for consumer in consumers.values():
            for i, credential in enumerate(consumer.credentials):
                if credential.certificate is not None:
                    name = certificate_key(credential.certificate.ca, credential.certificate.san)
                    yield KeyRecord(f"declared-{i}", consumer.name, "", Secret(name), 0.0, None)
                if credential.fingerprint is not None:
                    yield KeyRecord(f"declared-{i}", consumer.name, "", Secret(fingerprint_key(credential.fingerprint)), 0.0, None)
                if credential.api_key is None:
                    continue
                try:
                    text = secret_text(credential.api_key, self.folder, self.named)
                except UNREADABLE:
                    where = credential.api_key.told
                    warnings.append(f"Consumer/{consumer.name}: credentials[{i}]: there is no {where}; that key is refused")
                    continue
                if not _is_key(text):
                    warnings.append(
                        f"Consumer/{consumer.name}: credentials[{i}]: a key has 16 or more printable characters; that key is refused"
                    )
                    continue
                yield KeyRecord(f"declared-{i}", consumer.name, "", Secret(text), 0.0, None)
