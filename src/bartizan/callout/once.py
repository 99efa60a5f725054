"""What makes a proof count once: those that were seen, and nonces that only this process gives (RFC 9449, sections 8 and 11.1).

What was seen is forgotten when the process ends. So a proof that was made before it began counts only with a nonce of its own. Where
several gateways serve the same callers, each asks for its own nonce always: what was seen elsewhere isn't known here.
"""

import base64
import hashlib
import hmac
import secrets
import struct
from collections import deque
from dataclasses import dataclass, field

from bartizan.callout.proof import LASTS_S, SKEW_S, Proof

NONCE_S = 300.0
"""How long a nonce counts."""
_MOST = 500_000
_TAG = 16


class Full(Exception):
    """More proofs came than can be remembered: none counts until some are too old to count."""


@dataclass(slots=True)
class Once:
    """One process's memory of proofs. Times are seconds since the epoch."""

    began: float
    always: bool = False
    """Whether a nonce is demanded of every proof."""
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _seen: set[bytes] = field(default_factory=set)
    _ends: deque[tuple[float, bytes]] = field(default_factory=deque)

    def needs_nonce(self, proof: Proof, now: float) -> bool:
        """Whether this proof has to bring a nonce of ours, and doesn't."""
        if proof.nonce:
            return not self._is_ours(proof.nonce, now)
        return self.always or proof.made <= self.began

    def is_first(self, proof: Proof, now: float) -> bool:
        """Whether it wasn't seen before. From now on it was. Full if there is no room for it."""
        while self._ends and self._ends[0][0] < now:
            self._seen.discard(self._ends.popleft()[1])
        if proof.id in self._seen:
            return False
        if len(self._seen) >= _MOST:
            raise Full
        self._seen.add(proof.id)
        self._ends.append((now + LASTS_S + 2 * SKEW_S, proof.id))
        return True

    def nonce(self, now: float) -> str:
        """One for the next proof."""
        moment = struct.pack(">Q", int(now))
        return base64.urlsafe_b64encode(moment + self._tag(moment)).rstrip(b"=").decode()

    def _is_ours(self, nonce: str, now: float) -> bool:
        try:
            told = base64.urlsafe_b64decode(nonce + "=" * (-len(nonce) % 4))
        except ValueError:
            return False
        moment, tag = told[:8], told[8:]
        if len(told) != 8 + _TAG or not hmac.compare_digest(tag, self._tag(moment)):
            return False
        return 0 <= int(now) - int(struct.unpack(">Q", moment)[0]) <= NONCE_S

    def _tag(self, moment: bytes) -> bytes:
        return hmac.new(self._key, moment, hashlib.sha256).digest()[:_TAG]
