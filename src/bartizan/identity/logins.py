"""The secrets of logins: each client's own, and what its cookies are encrypted with, as Envoy's Secrets. A changed one counts at once."""

import logging
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bartizan.envoy import message
from bartizan.identity.named import NamedSecrets
from bartizan.identity.referred import UNREADABLE, secret_text
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.policies.login import Login

_log = logging.getLogger("bartizan")
_SHORTEST = 16
"""Characters. Whoever has a cookie could find a shorter secret by trying."""
_KEY_BYTES = 64
_Key = tuple[str, str]
"""The names of the two Secrets."""


@dataclass(slots=True)
class _Held:
    policy: Login
    text: str
    """The client's secret; as long as there was none, one that nobody knows, so that no cookie and no client is good."""
    error: str = ""


@dataclass(slots=True)
class Logins:
    """The secrets of all that is served. One that can't be read any more is used on, until the gateway is started anew."""

    folder: Path
    named: NamedSecrets | None = None
    _held: dict[_Key, _Held] = field(default_factory=dict)

    def bodies(self, snapshots: Iterable[Snapshot]) -> dict[str, bytes]:
        """The serialized Secrets by name."""
        wanted = {one.secret_names: one for snapshot in snapshots for one in _declared(snapshot)}
        self._held = {key: self._held.get(key) or _Held(one, secrets.token_hex(_KEY_BYTES)) for key, one in wanted.items()}
        self.refresh()
        return {name: body for key, held in self._held.items() for name, body in _pair(key, held).items()}

    def problems(self, snapshot: Snapshot) -> Iterator[Problem]:
        """What keeps a snapshot from being served: a new login whose secret can't be used."""
        for one in _declared(snapshot):
            unknowable = self.named is None and one.client_secret.secret is not None
            if unknowable or one.secret_names in self._held:
                continue
            try:
                self._read(one)
            except ValueError as error:
                at = snapshot.resource(one).place(("client_secret",))
                yield Problem(at, "login-secret", str(error), "It is the secret that the issuer has given this client.")

    def refresh(self) -> bool:
        """Reads all of them again. Whether one of them is another now."""
        return any([self._refreshed(held) for held in self._held.values()])

    def _refreshed(self, held: _Held) -> bool:
        try:
            text, error = self._read(held.policy), ""
        except ValueError as failed:
            text, error = held.text, str(failed)
            if error != held.error:
                _log.error("%s: client_secret: %s", held.policy.id, error)
        changed, held.text, held.error = text != held.text, text, error
        return changed

    def _read(self, one: Login) -> str:
        try:
            text = secret_text(one.client_secret, self.folder, self.named, one.use)
        except UNREADABLE:
            raise ValueError(f"the client's secret {one.client_secret.told} can't be read") from None
        if len(text) < _SHORTEST or not text.isprintable():
            raise ValueError(f"the client's secret {one.client_secret.told} isn't one line of at least {_SHORTEST} characters")
        return text

    def warnings(self) -> list[str]:
        """What `status` tells. No secret is named."""
        return [f"{held.policy.id}: {held.error}; the one before is used on" for held in self._held.values() if held.error]


def _declared(snapshot: Snapshot) -> Iterator[Login]:
    for policy in snapshot.policies:
        if isinstance(policy, Login) and policy.mode == "enforce":
            yield policy


def _pair(key: _Key, held: _Held) -> dict[str, bytes]:
    """The client's secret, and a key for cookies that is derived from it: every node has the same, and nobody has to keep it."""
    made = HKDF(SHA256(), _KEY_BYTES, None, f"bartizan login cookies {held.policy.name}".encode()).derive(held.text.encode())
    client, cookies = key
    return {client: _secret(client, held.text.encode()), cookies: _secret(cookies, made.hex().encode())}


def _secret(name: str, value: bytes) -> bytes:
    made = message("envoy.extensions.transport_sockets.tls.v3.Secret", name=name, generic_secret={"secret": {"inline_bytes": value}})
    return bytes(made.SerializeToString(deterministic=True))
