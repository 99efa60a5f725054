"""Credentials that end soon, have ended, or that nobody uses: certificates, API keys, operators' tokens, consumers; and blocks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from bartizan.identity.brake import Brake
from bartizan.identity.key_record import KeyRecord
from bartizan.identity.operators import Operator
from bartizan.model.problem import Place, Problem
from bartizan.model.snapshot import Resource, Snapshot
from bartizan.policies.tls import Tls
from bartizan.telemetry.last_use import Used


@dataclass(frozen=True, slots=True)
class Soon:
    """What counts as soon: seconds since the epoch."""

    now: float
    until: float

    def told(self, ends: float | None) -> str | None:
        """When it ends, in words; None if that isn't soon."""
        if ends is None or ends > self.until:
            return None
        return f"{'has expired' if ends <= self.now else 'expires'} at {_told(ends)}"


def _told(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


def certificates(snapshot: Snapshot, folder: Path, soon: Soon) -> Iterator[Problem]:
    """Certificates of listeners, CAs of client certificates, and CAs of upstreams. Relative names start from `folder`."""
    for policy in snapshot.policies:
        if isinstance(policy, Tls) and policy.mode != "disabled":
            held = snapshot.resource(policy)
            yield from _in_file(held, ("certificate",), policy.certificate, _content(folder, policy.certificate), soon)
            for name, bundle in policy.client_cas.items():
                yield from _in_file(held, ("client_cas", name), bundle, snapshot.files.get(bundle, b""), soon)
    for api in snapshot.apis.values():
        if (file := api.upstream.tls.ca) is not None:
            yield from _in_file(snapshot.resource(api), ("upstream", "tls", "ca"), file, _content(folder, file), soon)


def _in_file(held: Resource, at: tuple[str, ...], file: str, content: bytes, soon: Soon) -> Iterator[Problem]:
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError:
        return  # that it can't be read is told by `check`
    for one in found:
        told = soon.told(one.not_valid_after_utc.timestamp())
        if told is not None:
            text = f"the certificate {one.subject.rfc4514_string() or one.serial_number} in {file} {told}"
            yield Problem(held.place(at), "certificate-expires", text, "Put a new one into the file: it is taken as soon as it is there.")


def _content(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError:
        return b""


def keys(records: Iterable[KeyRecord], soon: Soon) -> Iterator[Problem]:
    """API keys, without their text."""
    for one in records:
        if (told := soon.told(one.expires)) is not None:
            named = f" ({one.name})" if one.name else ""
            hint = f"`bartizan key new {one.consumer}` makes another; `bartizan key revoke {one.id}` ends it."
            yield Problem(Place("keys", 0, one.id), "key-expires", f"the key {one.id} of {one.consumer}{named} {told}", hint)


def unused(records: Iterable[KeyRecord], known: Used, before: float) -> Iterator[Problem]:
    """API keys that count, and that nobody has used since `before`, in seconds since the epoch. Of a key that is newer, or whose use isn't
    known for so long, nothing is told."""
    for one in records:
        last = known.keys.get(one.id)
        watched = max(one.created, known.since or before + 1)
        if not one.successor and watched < before and (last is None or last < before):
            named = f" ({one.name})" if one.name else ""
            when = "was never used" if last is None else f"was last used at {_told(last)}"
            hint = f"`bartizan key revoke {one.id}` ends it, if nobody needs it."
            yield Problem(Place("keys", 0, one.id), "key-unused", f"the key {one.id} of {one.consumer}{named} {when}", hint)


def consumers(snapshot: Snapshot, soon: Soon) -> Iterator[Problem]:
    """Consumers that live only for a time."""
    for one in snapshot.consumers.values():
        if one.expires is not None and not one.disabled and (told := soon.told(one.expires.timestamp())) is not None:
            at = snapshot.resource(one).place(("expires",))
            hint = "All its credentials are refused then. Give it another time, or take it out."
            yield Problem(at, "consumer-expires", f"the consumer {one.name} {told}", hint)


def tokens(operators: Iterable[Operator], soon: Soon) -> Iterator[Problem]:
    """Operators' tokens, without their text. The first one and sessions are meant to end."""
    for one in operators:
        if not (one.once or one.session) and (told := soon.told(one.expires)) is not None:
            hint = f"`bartizan token new {one.name} --role {one.role}` makes another; `bartizan token end {one.id}` ends it."
            yield Problem(Place("tokens", 0, one.id), "token-expires", f"the token {one.id} of {one.name} ({one.role}) {told}", hint)


def blocks(brakes: Iterable[Brake], soon: Soon) -> Iterator[Problem]:
    """Blocks that end by themselves."""
    for one in brakes:
        if (told := soon.told(one.until)) is not None:
            text = f"the block of {one.what} {one.value} by {one.by} ({one.reason}) {told}"
            yield Problem(
                Place("blocks", 0, one.id), "block-expires", text, "What it refuses is let through then, if no policy refuses it."
            )
