"""Who belongs to the fleet: join tokens, nodes and their certificates, in a journal that several processes read and write.

A token is kept as a hash. It makes one node, once, while it counts. What is no longer in the registry isn't let in, whatever its
certificate says.
"""

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bartizan.errors import Conflict, Invalid, NotFound, Unauthenticated
from bartizan.identity.ledger import Ledger
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.sealed import Secret

LOCAL = "local"
"""The node of `bartizan up` itself, which needs no token."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_CERTIFICATES = 4
"""So many of a node count at once: a node that asked for a new one may have been ended before it could keep it."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is remembered."""

    name: str
    """The node that it makes; empty if that may choose."""
    group: str
    expires: float
    used_by: str = ""


@dataclass(frozen=True, slots=True)
class Joined:
    """A node of the fleet."""

    name: str
    group: str
    joined: float
    certificates: tuple[tuple[str, float], ...]
    """SHA-256 and end of those that count."""

    @property
    def expires(self) -> float:
        """When the newest ends."""
        return self.certificates[-1][1]


class Registry:
    """The fleet in the journal `path`. Methods may be called from any thread; writing waits for the disk."""

    def __init__(self, path: Path, envelope: Envelope, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self._nodes: dict[str, Joined] = {}
        self._shown_by: dict[str, str] = {}
        """The node of each certificate that ever was."""
        events: dict[str, Callable[..., None]] = {
            "token": self._apply_token,
            "join": self._apply_join,
            "renew": self._apply_renew,
            "remove": self._apply_remove,
        }
        self._ledger = Ledger(path, envelope, "fleet", events)

    def close(self) -> None:
        self._ledger.close()

    @property
    def changes(self) -> int:
        """How often it has changed, ever."""
        return self._ledger.count

    def poll(self) -> None:
        """Takes in what other processes wrote."""
        with self._ledger.lock:
            self._ledger.absorb()

    def nodes(self) -> tuple[Joined, ...]:
        """All that joined and weren't removed."""
        with self._ledger.lock:
            return tuple(self._nodes[name] for name in sorted(self._nodes))

    def token(self, group: str, seconds: float, name: str = "") -> Secret:
        """A new token's secret, in hex, to be shown once."""
        for what, text in (("group", group), *((("node", name),) if name else ())):
            _check_name(what, text)
        secret = secrets.token_bytes(24)
        with self._ledger.writing():
            self._check_free(name)
            self._ledger.append("token", _hash(secret), name, group, self._clock() + seconds)
        return Secret(secret.hex())

    def join(self, secret: bytes, wish: str, certify: Callable[[str], tuple[str, float]]) -> Joined:
        """Uses a token up. `certify` makes the certificate for the name, and tells its SHA-256 and end."""
        with self._ledger.writing():
            token = self._good(_hash(secret))
            name = token.name or wish
            _check_name("node", name)
            self._check_free(name)
            fingerprint, ends = certify(name)
            self._ledger.append("join", _hash(secret), name, fingerprint, ends, self._clock())
            return self._nodes[name]

    def renew(self, name: str, fingerprint: str, certify: Callable[[str], tuple[str, float]]) -> Joined:
        """Another certificate for a node that shows one which counts."""
        with self._ledger.writing():
            known = self._known(fingerprint)
            if known is None or known.name != name:
                raise Unauthenticated("This certificate doesn't count here.", code="certificate-unknown")
            self._ledger.append("renew", name, *certify(name))
            return self._nodes[name]

    def remove(self, name: str) -> None:
        """Lets a node in no more."""
        with self._ledger.writing():
            if name not in self._nodes:
                raise NotFound(f"There is no node {name!r} in the fleet. `bartizan node list` shows them.", code="node-missing")
            self._ledger.append("remove", name)

    def known(self, fingerprint: str) -> Joined | None:
        """The node whose certificate this is, if it counts."""
        with self._ledger.lock:
            return self._known(fingerprint)

    def _known(self, fingerprint: str) -> Joined | None:
        node = self._nodes.get(self._shown_by.get(fingerprint, ""))
        counts = node is not None and any(one == fingerprint and ends > self._clock() for one, ends in node.certificates)
        return node if counts else None

    def _good(self, digest: str) -> Token:
        token = self._tokens.get(digest)
        if token is None:
            raise Unauthenticated("This token isn't known here. Make one with `bartizan node token`.", code="token-unknown")
        if token.used_by:
            raise Unauthenticated(f"This token was used already, by node {token.used_by!r}. Make another.", code="token-used")
        if token.expires <= self._clock():
            raise Unauthenticated("This token has expired. Make another with `bartizan node token`.", code="token-expired")
        return token

    def _check_free(self, name: str) -> None:
        if name in self._nodes or name == LOCAL:
            raise Conflict(f"There is a node {name!r} already. Remove it first, or choose another name.", code="node-exists")

    def _apply_token(self, digest: str, name: str, group: str, expires: float) -> None:
        self._tokens[digest] = Token(name, group, expires)

    def _apply_join(self, digest: str, name: str, fingerprint: str, ends: float, at: float) -> None:
        token = self._tokens[digest] = replace(self._tokens[digest], used_by=name)
        self._nodes[name] = Joined(name, token.group, at, ((fingerprint, ends),))
        self._shown_by[fingerprint] = name

    def _apply_renew(self, name: str, fingerprint: str, ends: float) -> None:
        node = self._nodes[name]
        self._shown_by[fingerprint] = name
        self._nodes[name] = replace(node, certificates=(*node.certificates, (fingerprint, ends))[-_CERTIFICATES:])

    def _apply_remove(self, name: str) -> None:
        self._nodes.pop(name, None)


def _hash(secret: bytes) -> str:
    return hashlib.sha256(b"bartizan join token\0" + secret).hexdigest()


def _check_name(what: str, text: str) -> None:
    if not _NAME.fullmatch(text):
        raise Invalid(f"The name of a {what} is 1 to 63 of a-z, 0-9 and '-', such as {what}-1.", code="name-malformed")
