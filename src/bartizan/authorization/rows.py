"""What is kept under a secret: whoever shows the secret finds it, whoever reads the store doesn't find the secret."""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from bartizan.errors import Conflict
from bartizan.store import Authorization, Authorizations


def digest(*texts: str) -> str:
    """The id under which it is kept."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()


class Rows:
    """What is kept of one kind, such as sessions."""

    def __init__(self, store: Authorizations, kind: str) -> None:
        self._store, self._kind, self.clock = store, kind, store.clock

    def hidden(self, value: Mapping[str, Any], lasts_s: float, owner: str = "") -> str:
        """Keeps it under a new secret, which is returned."""
        secret = secrets.token_urlsafe(32)
        self.put(digest(secret), value, lasts_s, owner)
        return secret

    def put(self, ident: str, value: Mapping[str, Any], lasts_s: float, owner: str = "") -> Authorization:
        """Keeps something new. Conflict if it is there."""
        return self._store.put(Authorization(ident, self._kind, owner, self.clock() + lasts_s, value))

    def note(self, ident: str, lasts_s: float) -> bool:
        """Notes that something was. Whether it wasn't noted before."""
        try:
            self.put(ident, {}, lasts_s)
        except Conflict:
            return False
        return True

    def again(self, one: Authorization, value: Mapping[str, Any], expires: float) -> Authorization:
        """Writes it anew. Conflict if somebody was faster."""
        return self._store.put(Authorization(one.id, one.kind, one.owner, expires, value, one.version))

    def behind(self, secret: str) -> Authorization | None:
        """What a secret leads to."""
        return self.get(digest(secret))

    def get(self, ident: str) -> Authorization | None:
        """What is kept under this id."""
        return self._store.get(ident, self._kind)

    def take(self, ident: str) -> Authorization | None:
        """The same, and it is gone: of all who ask at once, one gets it."""
        return self._store.take(ident, self._kind)

    def of(self, owner: str) -> tuple[Authorization, ...]:
        """All of somebody's."""
        return self._store.of(owner, self._kind)
