"""Requests that may show what a formula needs: times, sources, headers and claims taken from what it asks for."""

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_network
from itertools import filterfalse

from bartizan.meaning.formula import Atom, Formula, NumberTest, OfAddress, OfCel, OfHeader, OfPrincipal, PresentTest, StringTest, atoms
from bartizan.model.consumer import Issuer
from bartizan.model.places import is_place, place_text
from bartizan.scratch import Question, Token
from bartizan.scratch.question import Claim

_MOMENT = re.compile(r'timestamp\("([^"]+)"\)')
_HEADER = re.compile(r'request\.headers\["([a-z0-9-]+)"\]')
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_DATE = re.compile(r"\b(20\d\d)(\d\d)(\d\d)\b")
_AGENTS = ("Mozilla/5.0 (X11)", "Mozilla/5.0 (iPhone; Mobile)", "Mozilla/5.0 (iPad)", "Googlebot/2.1", "x")
_SOURCES = ("127.0.0.1", "192.0.2.1", "2001:db8::1")
_JA4 = "x-bartizan-ja4"
_OURS = "x-bartizan-"
_LARGE = 1e9
_OFTEN = 0.8


@dataclass(slots=True)
class Choices:
    """What may be tried for each thing that is open."""

    sources: list[str] = field(default_factory=lambda: list(_SOURCES))
    moments: list[datetime] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: dict[str, list[str]] = field(default_factory=dict)
    claims: dict[str, list[Claim]] = field(default_factory=dict)
    """By attribute."""
    places: dict[str, list[str]] = field(default_factory=dict)
    """By `country` and its like."""


def choices(needs: Formula) -> Choices:
    """What the questions in it speak of."""
    found = Choices(moments=list(_week()))
    for atom in sorted(atoms(needs), key=str):
        _chosen(atom, found)
    return found


def _week() -> Iterator[datetime]:
    """Every hour of a week that has no change of clocks."""
    start = datetime(2026, 6, 1, tzinfo=UTC)
    yield from (start + timedelta(hours=hour, minutes=1) for hour in range(7 * 24))


def _chosen(atom: Atom, found: Choices) -> None:
    match atom:
        case OfAddress(networks):
            found.sources += map(_address, networks)
        case OfHeader():
            _of_header(atom, found)
        case OfPrincipal(key, test) if is_place(key):
            _of_place(key, map(_place_text, _values(test)), found)
        case OfPrincipal(key, test):
            found.claims.setdefault(key, []).extend(_values(test))
        case OfCel():
            _of_cel(atom, found)


def _of_place(key: str, texts: Iterable[str], found: Choices) -> None:
    name = key.removeprefix("source.")
    for text in texts:
        with suppress(ValueError):  # what no database can tell needn't be tried
            found.places.setdefault(name, []).append(place_text(name, text))


def _place_text(value: Claim) -> str:
    return str(int(value)) if isinstance(value, float) else str(value)


def _address(network: str) -> str:
    found = ip_network(network, strict=False)
    address = found[0] if found.num_addresses == 1 else found[1]
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _of_header(atom: OfHeader, found: Choices) -> None:
    if atom.name == ":path":
        found.paths += [atom.test.text.partition("?")[0]] if atom.test.kind in {"exact", "prefix"} else []
    else:
        found.headers.setdefault(atom.name, []).extend(_AGENTS if atom.name == "user-agent" else _texts(atom.test))


def _values(test: StringTest | NumberTest | PresentTest) -> Sequence[Claim]:
    match test:
        case NumberTest(start, None):
            return [start, start + 1, start - 1]
        case NumberTest(start, end):
            return [max(start, -_LARGE), min(end or 0, _LARGE) - 1]
        case StringTest():
            return _texts(test)
    return ["x", 1, True]


def _texts(test: StringTest) -> list[str]:
    if test.kind == "regex":
        return ["x", "true", "false", *_plain(test.text)]
    return [test.text, f"{test.text}x", "x"] if test.kind != "suffix" else [test.text, f"x{test.text}"]


def _plain(pattern: str) -> list[str]:
    """Words in a pattern that may match it, or be an element of a list that does."""
    return [word for word in re.findall(r"[A-Za-z0-9_./-]{2,}", pattern) if word not in {"true", "false"}][:5]


def _of_cel(atom: OfCel, found: Choices) -> None:
    for text in _MOMENT.findall(atom.text):
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        found.moments += [moment - timedelta(seconds=1), moment + timedelta(seconds=1)]
    for year, month, day in _DATE.findall(atom.text):
        noon = datetime(int(year), int(month), int(day), 12, tzinfo=UTC)
        found.moments += [noon, noon - timedelta(days=1), noon + timedelta(days=1)]
    texts = [*_TEXT.findall(atom.text), "x"]
    for header in _HEADER.findall(atom.text):
        found.headers.setdefault(header, []).extend(_AGENTS if header == "user-agent" else texts)
    for key in filter(is_place, atom.keys):
        _of_place(key, texts, found)
    for key in filterfalse(is_place, atom.keys):
        found.claims.setdefault(key, []).extend(texts)


def questions(base: Question, needs: Formula, issuers: Mapping[str, Issuer], most: int) -> Iterator[Question]:
    """The request itself, and others like it with other contexts: `most` in all, the same ones each time."""
    chance, found = random.Random(7), choices(needs)  # noqa: S311 - which contexts are tried is no secret
    yield base
    for _ in range(most - 1):
        yield _asked(base, found, issuers, chance)


def _asked(base: Question, found: Choices, issuers: Mapping[str, Issuer], chance: random.Random) -> Question:
    headers = tuple((name, chance.choice(texts)) for name, texts in found.headers.items() if not name.startswith((":", _OURS)))
    given = tuple(one for one in headers if chance.random() < _OFTEN and one[1].isascii() and one[1].isprintable() and one[1].strip())
    below = [path for path in found.paths if path.startswith(base.path)]
    made = replace(
        base,
        source=chance.choice(found.sources),
        at=chance.choice(found.moments),
        headers=given,
        path=chance.choice([base.path, *below]),
        place=tuple((name, chance.choice(texts)) for name, texts in found.places.items() if texts and chance.random() < _OFTEN),
        ja4=chance.choice(["", *(text for text in found.headers.get(_JA4, []) if text.isascii())]),
    )
    if isinstance(base.principal, Token):
        return replace(made, principal=_token(base.principal, found, issuers[base.principal.issuer], chance))
    return made


def _token(token: Token, found: Choices, issuer: Issuer, chance: random.Random) -> Token:
    claims = dict(token.claims)
    for attribute, values in found.claims.items():
        claim = issuer.groups if attribute == "groups" else issuer.attributes.get(attribute)
        if claim and chance.random() < _OFTEN:
            value = chance.choice(values)
            claims[claim] = [value] if attribute == "groups" or chance.random() < 0.2 else value
    return replace(token, claims=claims)
