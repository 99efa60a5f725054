"""What nodes know to be revoked and this control plane doesn't, because its state is an older one, such as a backup: it is taken over."""

import logging
import time
from collections.abc import Callable, Mapping

from bartizan.envoy import names
from bartizan.identity.revoked import REVOKED, taken_over
from bartizan.plane.living import Living
from bartizan.secrets.signing import verified
from bartizan.store import Event
from bartizan.xds.release import resource

_log = logging.getLogger("bartizan")
_MOST = 20
_WHY = (
    "the state here is older than what nodes hold, such as a restored backup. Look what else was lost: keys made since then, and revisions"
)


class Knowing:
    """What the control server asks when a node comes."""

    def __init__(self, living: Living, public: bytes, tell: Callable[[Event], None]) -> None:
        """`public`: the key whose signature counts; `tell`: the audit log."""
        self._living, self._public, self._tell = living, public, tell
        self._warnings: dict[str, str] = {}

    @property
    def warnings(self) -> list[str]:
        """What was taken over since the start, or couldn't be."""
        return list(self._warnings.values())

    def lacking(self, held: Mapping[str, str]) -> tuple[str, ...]:
        """Which of a node's notes, by name and version, may say more than is known here."""
        own = self._living.notes()
        versions = {name: resource(names.NOTE, name, body).version for name, body in own.items()}
        return tuple(name for name, version in held.items() if name.startswith(REVOKED) and versions.get(name) != version)

    def take(self, node: str, notes: Mapping[str, bytes]) -> int:
        """Takes over what they say. The generation of live data that holds it. Unavailable if it can't be kept."""
        living = self._living
        try:
            keys, blocks = taken_over(notes, self._trusted, (living.tables.store, living.brakes))
        except ValueError as error:
            self._warn(node, f"node {node} says that more was revoked than is known here, and isn't believed: {error}")
            return 0
        if not keys and not blocks:
            return 0
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        taken = f"{_number(keys, 'revoked key')} and {_number(blocks, 'block')} were taken over from node {node} at {when}"
        self._warn(node, f"{taken}: {_WHY}")
        self._tell(Event(f"node/{node}", "revocations.take-over", "live", "local", "done", {"keys": keys, "blocks": blocks}))
        return living.taken_over()

    def _trusted(self, key: bytes, signature: bytes, data: bytes) -> bool:
        return key == self._public and verified(key, signature, data)

    def _warn(self, node: str, sentence: str) -> None:
        _log.error("%s", sentence)
        if len(self._warnings) < _MOST or node in self._warnings:
            self._warnings[node] = sentence


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
