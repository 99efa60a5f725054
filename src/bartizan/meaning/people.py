"""Who may call: each consumer, and one of each sort of those who aren't declared; and what Envoy knows of each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bartizan.condition.schema import DEVICE
from bartizan.meaning.values import MISSING, UNKNOWN, Begins, Value
from bartizan.model.attributes import attribute_text
from bartizan.model.consumer import Consumer
from bartizan.model.snapshot import Snapshot

Sort = Literal["anonymous", "consumer", "token", "certificate"]
KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who calls with a good credential, or with none."""

    sort: Sort
    name: str = ""
    """The consumer; or the Issuer of a token; or the CA of a certificate that no consumer lists."""
    by: str = ""
    """How a consumer shows who it is: `api_key`, or the CA of a client certificate."""


ANONYMOUS = Person("anonymous")


@dataclass(frozen=True, slots=True)
class People:
    """Everyone who is told apart, each in a place: a set of them is the number that has the bits of their places."""

    all: tuple[Person, ...]

    @property
    def everyone(self) -> int:
        """All of them."""
        return (1 << len(self.all)) - 1

    def of(self, bits: int) -> Iterator[tuple[int, Person]]:
        """Those in a set, with their places."""
        for place in places(bits):
            yield place, self.all[place]


def places(bits: int) -> Iterator[int]:
    """The places of a set's members."""
    text = bin(bits)[:1:-1]
    at = text.find("1")
    while at >= 0:
        yield at
        at = text.find("1", at + 1)


def set_of(members: Iterable[int], size: int) -> int:
    """The set of these places, of which there are `size`. One by one they would take quadratic time."""
    held = bytearray(size // 8 + 1)
    for place in members:
        held[place >> 3] |= 1 << (place & 7)
    return int.from_bytes(held, "little")


def people_of(snapshots: Sequence[Snapshot]) -> People:
    """Everyone whom at least one of these snapshots knows."""
    found: dict[Person, None] = {ANONYMOUS: None}
    for snapshot in snapshots:
        found.update(dict.fromkeys(_known(snapshot)))
    return People(tuple(found))


def _known(snapshot: Snapshot) -> Iterator[Person]:
    cas = client_cas(snapshot)
    keys = bool(snapshot.gateway.api_keys.headers or snapshot.gateway.api_keys.cookies)
    for issuer in snapshot.issuers:
        yield Person("token", issuer)
    for ca in cas:
        yield Person("certificate", ca)
    for consumer in snapshot.consumers.values():
        if keys:
            yield Person("consumer", consumer.name, KEY)
        for ca in _certified(consumer, cas):
            yield Person("consumer", consumer.name, ca)


def client_cas(snapshot: Snapshot) -> tuple[str, ...]:
    """The CAs of client certificates, by the names that policies give them."""
    return tuple(sorted({ca for policy in snapshot.policies for ca in getattr(policy, "client_cas", {})}))


def _certified(consumer: Consumer, cas: Iterable[str]) -> Iterator[str]:
    """The CAs whose certificates may mean this consumer. A fingerprint may be that of a certificate of any."""
    for ca in cas:
        for one in consumer.credentials:
            if one.fingerprint is not None or (one.certificate is not None and one.certificate.ca == ca):
                yield ca
                break


Known = Mapping[str, Value]
"""What Envoy knows of someone, by its name below `principal`. What isn't there is missing."""


def known_of(person: Person, snapshot: Snapshot) -> Known | None:
    """What Envoy knows of someone whose credential is good; None if no credential of theirs is, as of a consumer who is disabled."""
    match person.sort:
        case "anonymous":
            found: Known | None = {}
        case "consumer":
            found = _consumer(person, snapshot)
        case "certificate":
            found = _certificate(person, snapshot)
        case _:
            found = _token(person, snapshot)
    if found is None:
        return None
    # What context sources say may be anything, and may be missing.
    said = {} if person.sort == "anonymous" else dict.fromkeys(snapshot.contextual(), UNKNOWN)
    return {**dict.fromkeys(DEVICE, UNKNOWN), **found, **said}


def _consumer(person: Person, snapshot: Snapshot) -> Known | None:
    consumer = snapshot.consumers.get(person.name)
    if consumer is None or consumer.disabled:
        return None
    if person.by == KEY:
        way: dict[str, Value] = {"method": KEY}
        if not (snapshot.gateway.api_keys.headers or snapshot.gateway.api_keys.cookies):
            return None
    else:
        way = {"method": "mtls", "issuer": person.by}
        if person.by not in _certified(consumer, client_cas(snapshot)):
            return None
    told = {
        name: _told(consumer.attributes[name], kind) for name, kind in snapshot.gateway.attributes.items() if name in consumer.attributes
    }
    return {**way, "id": consumer.name, "key": UNKNOWN, "groups": attribute_text(consumer.groups), **told}


def _told(value: object, declared: str) -> Value:
    """An attribute as Envoy has it. One that isn't of the declared type can't be: nobody says what becomes of it."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {"number": number, "bool": isinstance(value, bool), "string": isinstance(value, str)}
    if not fits.get(declared, isinstance(value, list | tuple)):
        return UNKNOWN
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return attribute_text(tuple(value) if isinstance(value, list) else value)  # type: ignore[arg-type]  # of a declared type, so one of these


def _certificate(person: Person, snapshot: Snapshot) -> Known | None:
    if person.name not in client_cas(snapshot):
        return None
    return {"method": "mtls", "issuer": person.name, "id": Begins(f"{person.name}|")}


def _token(person: Person, snapshot: Snapshot) -> Known | None:
    issuer = snapshot.issuers.get(person.name)
    if issuer is None:
        return None
    claims: dict[str, Value] = {name: UNKNOWN for name in issuer.attributes if name in snapshot.gateway.attributes}
    if issuer.groups:
        claims["groups"] = UNKNOWN
    claims["bound"] = UNKNOWN
    return {"method": "jwt", "issuer": person.name, "id": Begins(f"{issuer.issuer}|"), **claims}


def value_of(known: Known, key: str) -> Value:
    """One thing of what is known."""
    return known.get(key, MISSING)
