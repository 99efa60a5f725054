"""Lists of revoked client certificates (RFC 5280, section 5): live data, read again when they change. One that isn't good is told, and
the one before stays. Without any, client certificates are refused."""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from bartizan.identity.named import NamedSecrets
from bartizan.identity.referred import UNREADABLE, secret_text
from bartizan.model.fields import SecretRef
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.policies.tls import Tls

_log = logging.getLogger("bartizan")
_LIST = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----\n?", re.DOTALL)
_SOON = timedelta(days=1)
_LONGEST = 32 << 20


@dataclass(frozen=True, slots=True)
class _Good:
    """Lists that were looked at: one of each certificate of a CA."""

    pem: bytes
    since: datetime
    ends: datetime | None


@dataclass(slots=True)
class _Held:
    """The lists of one CA of one Tls."""

    owner: str
    ca: str
    reference: SecretRef
    bundle: bytes
    good: _Good | None = None
    seen: tuple[tuple[int, ...] | None, str | None] = (None, None)
    """What was last read, good or not: its file, as it stood there, and its text."""
    error: str = ""


@dataclass(slots=True)
class Lists:
    """Good lists of each CA for which a Tls names them, for as long as there were some. Relative names start from `folder`."""

    folder: Path
    named: NamedSecrets | None = None
    _held: dict[tuple[str, str], _Held] = field(default_factory=dict)

    def problems(self, snapshot: Snapshot) -> Iterator[Problem]:
        """What keeps a snapshot from being served: a new reference that leads to no good list."""
        for key, one in _declared(snapshot):
            known = self._held.get(key)
            unknowable = self.named is None and one.reference.secret is not None
            if unknowable or (known is not None and known.good is not None and _same(known, one)):
                continue
            try:
                _checked(self._read(one.reference), one.bundle)
            except ValueError as error:
                at = snapshot.resource(_tls(snapshot, one.owner)).place(("crls", one.ca))
                yield Problem(at, "crl-unusable", str(error), "It has to be a CRL in PEM that this CA has signed.")

    def declare(self, snapshot: Snapshot) -> bool:
        """Takes over what a snapshot says. Whether a list is another now."""
        wanted, before = dict(_declared(snapshot)), self._held
        if wanted.keys() == before.keys() and all(_same(before[key], one) for key, one in wanted.items()):
            return self.refresh()
        self._held = {key: before[key] if key in before and _same(before[key], one) else one for key, one in wanted.items()}
        self.refresh()
        return True

    def refresh(self) -> bool:
        """Reads all of them again. Whether one of them is another now, or has just ended."""
        return any([self._refreshed(held) for held in self._held.values()])

    def _refreshed(self, held: _Held) -> bool:
        changed = False
        try:
            stamp = _stamp(self.folder, held.reference)
            if stamp is not None and stamp == held.seen[0]:
                return False
            if (text := self._read(held.reference)) != held.seen[1]:
                held.seen = stamp, text
                made = _checked(text, held.bundle)
                _refuse_older(made, held.good)
                changed, held.good, held.error = made != held.good, made, ""
        except ValueError as error:
            if str(error) != held.error:
                _log.error("Tls/%s: %s: %s", held.owner, held.ca, error)
            held.error = str(error)
        return changed

    def _read(self, reference: SecretRef) -> str:
        try:
            text = secret_text(reference, self.folder, self.named)
        except UNREADABLE:
            raise ValueError(f"the list of revoked certificates {reference.told} can't be read") from None
        if len(text) > _LONGEST:
            raise ValueError(f"the list of revoked certificates {reference.told} is too long")
        return text

    def bodies(self) -> dict[str, bytes]:
        """By the name of each Tls its lists (PEM), if there are good ones of all its CAs."""
        found: dict[str, list[bytes]] = {}
        lacking = set()
        for held in self._held.values():
            if held.good is None:
                lacking.add(held.owner)
            else:
                found.setdefault(held.owner, []).append(held.good.pem)
        return {owner: b"".join(pems) for owner, pems in found.items() if owner not in lacking}

    def warnings(self) -> list[str]:
        """What `status` tells."""
        now = datetime.now(UTC)
        found = []
        for held in self._held.values():
            who, ends = f"Tls/{held.owner}: the CA {held.ca}", held.good.ends if held.good is not None else None
            if held.error:
                since = "the list before counts" if held.good is not None else "client certificates are refused"
                found.append(f"{who}: {held.error}; {since}")
            if ends is not None and ends <= now:
                found.append(f"{who}: its list of revoked certificates has expired at {_moment(ends)}: its certificates are refused")
            elif ends is not None and ends - now < _SOON:
                found.append(f"{who}: its list of revoked certificates expires at {_moment(ends)}; then its certificates are refused")
        return found


def _stamp(folder: Path, reference: SecretRef) -> tuple[int, ...] | None:
    """As a file stands there; None if it is none. A list may be long, and is looked for twice a second."""
    if reference.file is None:
        return None
    try:
        stat = (folder / reference.file).stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _tls(snapshot: Snapshot, name: str) -> Tls:
    return next(one for one in snapshot.policies if isinstance(one, Tls) and one.name == name)


def _declared(snapshot: Snapshot) -> Iterable[tuple[tuple[str, str], _Held]]:
    for tls in snapshot.policies:
        if isinstance(tls, Tls):
            for ca, reference in tls.crls.items():
                yield (tls.name, ca), _Held(tls.name, ca, reference, snapshot.files.get(tls.client_cas[ca], b""))


def _same(one: _Held, other: _Held) -> bool:
    return one.reference == other.reference and one.bundle == other.bundle


def _checked(text: str, bundle: bytes) -> _Good:
    """ValueError if these aren't the lists of these CAs, each signed by its own."""
    try:
        lists = [x509.load_pem_x509_crl(one) for one in _LIST.findall(text.encode())]
        cas = x509.load_pem_x509_certificates(bundle)
    except ValueError:
        raise ValueError("the list of revoked certificates can't be read") from None
    for ca in cas:
        if not any(one.issuer == ca.subject and _is_signed(one, ca) for one in lists):
            raise ValueError(f"there is no list of revoked certificates that {ca.subject.rfc4514_string()} has signed")
    now = datetime.now(UTC)
    for one in lists:
        if not any(one.issuer == ca.subject and _is_signed(one, ca) for ca in cas):
            raise ValueError("a list of revoked certificates isn't signed by this CA")
        if one.last_update_utc > now + timedelta(minutes=5):
            raise ValueError(f"the list of revoked certificates isn't valid before {_moment(one.last_update_utc)}")
    ends = [one.next_update_utc for one in lists if one.next_update_utc is not None]
    pem = b"".join(one.rstrip() + b"\n" for one in _LIST.findall(text.encode()))
    return _Good(pem, min(one.last_update_utc for one in lists), min(ends, default=None))


def _is_signed(one: x509.CertificateRevocationList, ca: x509.Certificate) -> bool:
    try:
        return one.is_signature_valid(ca.public_key())  # type: ignore[arg-type]  # a key that can't sign raises TypeError
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


def _refuse_older(made: _Good, before: _Good | None) -> None:
    """An older list would let certificates in that were revoked since."""
    if before is not None and made.since < before.since:
        raise ValueError(f"the list of revoked certificates of {_moment(made.since)} is older than that of {_moment(before.since)}")
