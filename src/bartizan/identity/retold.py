"""What is told of consumers whose key tables are older than that: one small filter behind the tables.

A consumer's keys are spread over many tables, and Envoy takes tens of milliseconds to read one of thousands of keys anew. So a consumer
that changes is told here at once, and the tables tell it later, one after the other; what a table tells is dropped here after it. Who
counts is the tables' matter: this filter lets nobody in, and without it, or without an entry in it, what a table tells holds. It only
refuses those who count no more, as tables refuse keys that they don't know.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bartizan.compile import discovered_body
from bartizan.envoy import extension, message, names
from bartizan.envoy.filters import execute, header_mutations, nothing, overwrite
from bartizan.identity.table import PRINCIPAL_HEADER, unknown

MOST = 1000
"""So many entries are told here at most: all of them are sent with each change."""
_LONGEST = 8192  # bytes of an entry: Envoy takes twice that
_REST_S = 5.0
"""So long what is told here waits for its table at least: what changes again and again costs the table once."""
_EVERY_S = 1.0
"""One table in so many seconds is made to tell it, so that Envoy reads each between two changes, and none is held up."""
_HURRIED_S = 0.2
"""The same when half the room is taken: then nothing waits."""

Entries = Mapping[str, str]
"""Entries as a table tells them, by how they begin: the order's mark, the consumer and its key. `GONE`: that key counts no more."""
GONE = ""


class Retold:
    """What stands in there, by the shards whose tables tell something older. Methods are called by one thread."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, str]] = {}
        self._since: dict[str, float] = {}
        self._settled = float("-inf")
        self._body = b""

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def tell(self, entries: Mapping[str, Entries], now: float) -> bool:
        """Takes entries of these shards. False if they have no room: then the tables themselves have to tell them. `now`: seconds by a
        clock that only runs on."""
        merged = {shard: {**self._of.get(shard, {}), **some} for shard, some in entries.items() if some}
        others = sum(len(some) for shard, some in self._of.items() if shard not in merged)
        longest = max((len(text.encode()) for some in entries.values() for text in some.values()), default=0)
        if others + sum(map(len, merged.values())) > MOST or longest > _LONGEST:
            return False
        self._of |= merged
        for shard in merged:
            self._since.setdefault(shard, now)
        self._body = b""
        return True

    def drop(self, shards: Iterable[str]) -> None:
        """The tables of these shards tell it now."""
        for shard in shards:
            if self._of.pop(shard, None) is not None:
                del self._since[shard]
                self._body = b""

    def due(self, now: float) -> str | None:
        """The shard whose table is to tell it now, if it is time for one."""
        hurried = len(self) > MOST // 2
        if not self._since or now - self._settled < (_HURRIED_S if hurried else _EVERY_S):
            return None
        shard = min(self._since, key=lambda one: self._since[one])
        if not hurried and now - self._since[shard] < _REST_S:
            return None
        self._settled = now
        return shard

    def body(self) -> bytes:
        """The filter, as ECDS sends it."""
        if not self._body:
            entries = {begins: text for some in self._of.values() for begins, text in some.items()}
            self._body = discovered_body(names.RETOLD, retold(entries))
        return self._body


def retold(entries: Entries) -> Any:
    """The filter that has these entries count instead of those that begin alike, or refuses them. It isn't there without any."""
    if not entries:
        return nothing()
    known = message(
        "xds.core.v3.TypedExtensionConfig",
        **extension("entry", message("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=PRINCIPAL_HEADER)),
    )
    instead = {begins: {"action": _instead(text)} for begins, text in entries.items()}
    tree = {"matcher_tree": {"input": known, "prefix_match_map": {"map": instead}}}
    return message("envoy.extensions.filters.http.composite.v3.Composite", matcher=tree)


def _instead(text: str) -> dict[str, Any]:
    if text == GONE:
        return execute("gone", unknown(PRINCIPAL_HEADER))
    return execute("retold", header_mutations([overwrite(PRINCIPAL_HEADER, text.replace("%", "%%"))]))
