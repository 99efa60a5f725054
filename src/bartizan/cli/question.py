"""The arguments that describe a request which hasn't happened, read and checked. What is wrong with them is a ValueError."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from ipaddress import ip_address

import orjson

from bartizan.cli.arguments import moment
from bartizan.errors import NotFound
from bartizan.identity.credentials import view
from bartizan.model.places import place_text
from bartizan.model.snapshot import Snapshot
from bartizan.scratch import Certificate, Principal, Question, Token, UnknownKey
from bartizan.scratch.question import Claim

_WAYS = ("consumer", "issuer", "ca")
_TOGETHER = (("issuer", "subject"), ("subject", "issuer"), ("claim", "issuer"), ("san", "ca"), ("fingerprint", "ca"))


def arguments(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    """Adds the arguments, and returns their names."""
    group = parser.add_argument_group("a request that hasn't happened, answered by a scratch instance of the real Envoy")
    added = [
        group.add_argument("--path", help="its path, with its query"),
        group.add_argument("--method", help="its method (default: GET)"),
        group.add_argument("--host", help="the host it names (default: localhost)"),
        group.add_argument("--header", action="append", metavar="'NAME: VALUE'", help="a header; may be repeated"),
        group.add_argument("--size", type=int, metavar="BYTES", help="the announced size of its body (default: 0)"),
        group.add_argument("--consumer", metavar="NAME", help="who calls: a Consumer, with an API key"),
        group.add_argument("--issuer", metavar="NAME", help="who calls: someone with a good token of this Issuer"),
        group.add_argument("--subject", metavar="SUB", help="the token's subject"),
        group.add_argument("--claim", action="append", metavar="NAME=VALUE", help="a claim, JSON or else a text; may be repeated"),
        group.add_argument("--ca", metavar="NAME", help="who calls: someone with a client certificate of this CA"),
        group.add_argument("--san", metavar="NAME", help="the certificate's subject alternative name"),
        group.add_argument("--fingerprint", metavar="HEX", help="the certificate's SHA-256"),
        group.add_argument("--device", metavar="NAME", help="the Device that it comes from (default: none)"),
        group.add_argument("--at", type=moment, metavar="TIME", help="when, as 2026-11-23T09:00:00+01:00 (default: now)"),
        group.add_argument("--source", type=_address, metavar="ADDRESS", help="the caller's address (default: 127.0.0.1)"),
        group.add_argument("--place", action="append", metavar="NAME=VALUE", help="what a database tells, as country=DE; may be repeated"),
        group.add_argument(
            "--context", action="append", metavar="NAME=VALUE", help="what a context source says of the caller; may be repeated"
        ),
        group.add_argument("--listener", metavar="NAME", help="the listener it comes to (default: the first)"),
    ]
    return tuple(one.dest for one in added)


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} isn't an IP address") from None


def question_of(read: argparse.Namespace) -> Callable[[Snapshot], Question]:
    """What is asked, once it is known of which gateway. ValueError for arguments that don't go together."""
    given = [f"--{way}" for way in _WAYS if getattr(read, way) is not None]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} are several callers: name one")
    for one, other in _TOGETHER:
        if getattr(read, one) is not None and getattr(read, other) is None:
            raise ValueError(f"--{one} goes with --{other}")
    if read.ca is not None and read.san is None and read.fingerprint is None:
        raise ValueError("--ca goes with --san or --fingerprint")
    headers, claims, place, context = headers_of(read), claims_of(read), place_of(read), context_of(read)

    def asked(snapshot: Snapshot) -> Question:
        return Question(
            read.method or "GET",
            read.path,
            read.host or "localhost",
            headers,
            principal=_principal(read, claims, snapshot),
            at=read.at,
            source=read.source or "127.0.0.1",
            listener=read.listener or "",
            size=read.size or 0,
            device=read.device or "",
            device_state=_device_state(read.device, snapshot),
            context=context or {},
            place=place,
        )

    return asked


def _device_state(name: str | None, snapshot: Snapshot) -> str:
    if name is None:
        return "pending"
    _known("Device", name, snapshot.devices)
    return snapshot.devices[name].state


def headers_of(read: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """The headers that are given. ValueError."""
    return tuple(_split(text, ":", "--header", "'name: value'") for text in read.header or ())


def claims_of(read: argparse.Namespace) -> dict[str, Claim]:
    """The claims that are given. ValueError."""
    return {name: _claim(text) for name, text in (_split(text, "=", "--claim", "name=value") for text in read.claim or ())}


def context_of(read: argparse.Namespace) -> dict[str, Claim] | None:
    """What context sources say, as it is given; None if nothing is. ValueError."""
    if read.context is None:
        return None
    return {name: _claim(text) for name, text in (_split(text, "=", "--context", "name=value") for text in read.context)}


def place_of(read: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """What databases tell, as it is given. ValueError."""
    given = (_split(text, "=", "--place", "name=value") for text in read.place or ())
    return tuple((name.removeprefix("source."), place_text(name.removeprefix("source."), value)) for name, value in given)


def _split(text: str, sign: str, option: str, form: str) -> tuple[str, str]:
    name, found, value = text.partition(sign)
    if not found or not name.strip():
        raise ValueError(f"{option} {text!r} isn't of the form {form}")
    return name.strip(), value.strip()


def _claim(text: str) -> Claim:
    try:
        found: Claim = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return found


def _principal(read: argparse.Namespace, claims: Mapping[str, Claim], snapshot: Snapshot) -> Principal | None:
    if read.consumer is not None:
        _known("Consumer", read.consumer, snapshot.consumers)
        consumer = snapshot.consumers[read.consumer]
        return view(consumer) if consumer.counts(read.at or datetime.now(UTC)) else UnknownKey()
    if read.issuer is not None:
        _known("Issuer", read.issuer, snapshot.issuers)
        return Token(read.issuer, read.subject, claims)
    if read.ca is not None:
        _known("CA", read.ca, dict(_cas(snapshot)))
        return Certificate(read.ca, read.san or "", read.fingerprint or "")
    return None


def _cas(snapshot: Snapshot) -> Iterator[tuple[str, object]]:
    for policy in snapshot.policies:
        yield from getattr(policy, "client_cas", {}).items()


def _known(kind: str, name: str, among: Mapping[str, object]) -> None:
    if name not in among:
        near = get_close_matches(name, among, n=1, cutoff=0.5)
        raise NotFound(f"There is no {kind} {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""), code=f"{kind.lower()}-unknown")
