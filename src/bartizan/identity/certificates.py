"""The listeners' certificates with their private keys: live data, read again when the files change. A pair that isn't good is told,
and the one before stays."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from bartizan.envoy import message, names
from bartizan.identity.named import NamedSecrets
from bartizan.identity.pairs import check_pair
from bartizan.identity.referred import UNREADABLE, secret_text
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.policies.tls import Tls

_log = logging.getLogger("bartizan")
_SOON = timedelta(days=14)


@dataclass(slots=True)
class _Held:
    tls: Tls
    pair: tuple[bytes, bytes] | None = None
    body: bytes = b""
    expires: datetime | None = None
    error: str = ""
    seen: tuple[bytes, bytes] | None = None
    """What was last read, good or not."""


@dataclass(slots=True)
class Certificates:
    """A good pair for each Tls policy, for as long as there was one."""

    folder: Path
    named: NamedSecrets | None = None
    """None: nobody knows here which there are."""
    _held: dict[str, _Held] = field(default_factory=dict)
    _leaving: dict[str, _Held] = field(default_factory=dict)

    def problems(self, snapshot: Snapshot) -> Iterator[Problem]:
        """What keeps a snapshot from being served: a new Tls without a good pair."""
        for tls in _declared(snapshot):
            known = self._held.get(tls.name)
            unknowable = self.named is None and tls.private_key.secret is not None
            if not unknowable and (known is None or not known.body or not _same_files(known.tls, tls)):
                try:
                    _check_pair(self._files(tls), tls)
                except ValueError as error:
                    at = snapshot.resource(tls).place(("certificate",))
                    yield Problem(at, "certificate-unusable", str(error), "Relative names start from the folder of these files.")

    def declare(self, snapshot: Snapshot) -> bool:
        """Takes over what a snapshot says. Pairs of policies that are gone stay for as long as their listener may."""
        wanted = {tls.name: tls for tls in _declared(snapshot)}
        if {name: one.tls for name, one in self._held.items()} == wanted:
            return self.refresh()
        self._leaving = {name: one for name, one in self._held.items() if name not in wanted}
        self._held = {name: self._taken(tls) for name, tls in wanted.items()}
        return self.refresh()

    def _taken(self, tls: Tls) -> _Held:
        known = self._held.get(tls.name) or self._leaving.get(tls.name)
        if known is None:
            return _Held(tls)
        if known.tls != tls:
            known.tls, known.seen = tls, None
            known.body = _secret(tls, known.pair) if known.pair else b""
        return known

    def refresh(self) -> bool:
        """Reads all pairs again. Whether one of them is another now."""
        changed = False
        for held in self._held.values():
            try:
                seen = self._files(held.tls)
                if seen != held.seen:
                    held.seen = seen
                    changed = self._take(held, seen) or changed
            except ValueError as error:
                held.seen = None
                _tell(held, str(error))
        return changed

    @staticmethod
    def _take(held: _Held, pair: tuple[bytes, bytes]) -> bool:
        """Takes over a pair if it is good. Whether it is another."""
        try:
            _check_pair(pair, held.tls)
            _refuse_older(held, pair)
        except ValueError as error:
            _tell(held, str(error))
            return False
        held.error = ""
        if pair == held.pair:
            return False
        if held.pair is not None:
            _log.info("%s has a new certificate, good until %s", held.tls.id, _expiry(pair[0]))
        held.pair, held.body, held.expires = pair, _secret(held.tls, pair), _expiry(pair[0])
        return True

    def bodies(self) -> dict[str, bytes]:
        """The serialized Secrets by name."""
        both = [*self._leaving.values(), *self._held.values()]
        return {names.certificate(held.tls.name): held.body for held in both if held.body}

    def _files(self, tls: Tls) -> tuple[bytes, bytes]:
        """Certificate and key as they stand there. ValueError, without the key, if they can't be read."""
        try:
            chain = (self.folder / tls.certificate).read_bytes()
        except OSError as error:
            raise ValueError(f"the certificate {tls.certificate} can't be read: {error.strerror}") from None
        try:
            return chain, secret_text(tls.private_key, self.folder, self.named).encode()
        except UNREADABLE:
            raise ValueError(f"the private key {tls.private_key.told} can't be read") from None

    def warnings(self) -> list[str]:
        """What `status` tells."""
        found = []
        now = datetime.now(UTC)
        for held in self._held.values():
            if held.error:
                since = "the certificate before is served on" if held.body else "its listeners refuse every connection"
                found.append(f"{held.tls.id}: {held.error}; {since}")
            if held.expires is not None and held.expires - now < _SOON:
                what = "has expired" if held.expires < now else "expires"
                found.append(f"{held.tls.id}: the certificate {what} at {held.expires:%Y-%m-%d %H:%M} UTC")
        return found


def _refuse_older(held: _Held, pair: tuple[bytes, bytes]) -> None:
    now = datetime.now(UTC)
    if held.expires is not None and pair != held.pair and _expiry(pair[0]) < now < held.expires:
        raise ValueError(f"the new certificate {held.tls.certificate} has expired")


def _declared(snapshot: Snapshot) -> Iterable[Tls]:
    return [policy for policy in snapshot.policies if isinstance(policy, Tls)]


def _same_files(one: Tls, other: Tls) -> bool:
    return one.certificate == other.certificate and one.private_key == other.private_key


def _tell(held: _Held, error: str) -> None:
    if error != held.error:
        _log.error("%s: %s; %s", held.tls.id, error, "the one before is served on" if held.body else "there is none")
    held.error = error


def _expiry(chain: bytes) -> datetime:
    return x509.load_pem_x509_certificates(chain)[0].not_valid_after_utc


def _check_pair(pair: tuple[bytes, bytes], tls: Tls) -> None:
    """ValueError if Envoy wouldn't take them as a pair."""
    check_pair(pair, tls.certificate, tls.private_key.told)


def _secret(tls: Tls, pair: tuple[bytes, bytes]) -> bytes:
    fields: dict[str, Any] = {"certificate_chain": {"inline_bytes": pair[0]}, "private_key": {"inline_bytes": pair[1]}}
    if tls.min_version == "1.3":
        # The policy that leaves only AES puts the listener's least version back to 1.2; the certificate's own holds.
        fields["tls_params"] = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
    made = message("envoy.extensions.transport_sockets.tls.v3.Secret", name=names.certificate(tls.name), tls_certificate=fields)
    return bytes(made.SerializeToString(deterministic=True))
