"""Context from outside: what sources say is taken, kept, grows old, and is told to Envoy; and what can be asked of it."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from bartizan.compile import discovered_body
from bartizan.envoy import names
from bartizan.errors import Invalid, NotFound
from bartizan.identity.context import Context, Moment, Said, Values, unknown
from bartizan.identity.context_file import FILE, ContextFile
from bartizan.identity.context_pull import Pulling
from bartizan.identity.context_read import check_room, checked
from bartizan.identity.context_rules import Asked, entry, fresh, subjects
from bartizan.identity.named import NamedSecrets
from bartizan.identity.principal import Wanted
from bartizan.model.context import ContextSource
from bartizan.model.snapshot import Snapshot
from bartizan.secrets.envelope import Envelope

_log = logging.getLogger("bartizan")
_LOOK_S = 0.25
_NAMED = 5
Retell = Callable[[frozenset[str]], None]
"""Has tables tell anew of these subjects, and what has changed published."""


class Contexts:
    """The context of one gateway."""

    def __init__(self, state: Path, base: Path, envelope: Envelope, named: NamedSecrets, retell: Retell) -> None:
        self.context = Context()
        self._file = ContextFile(state / FILE, envelope, self.context)
        self.pulling = Pulling(self.context, base, named, self._taken)
        self._retell = retell
        self._snapshot: Snapshot | None = None
        self._unkept = False
        """Something else than before was said, and isn't kept yet."""
        self._unknown: dict[str, tuple[int, Snapshot | None, list[str]]] = {}
        self._entries: tuple[object, Mapping[str, str]] = ((), {})

    def declare(self, served: Sequence[Snapshot], live: Snapshot) -> bool:
        """What is served declares these sources: the first that declares one counts. `live`: who may call. Whether tables have to tell
        something else."""
        several = tuple(served) or (live,)
        sources, types = _sources(several), {name: kind for one in reversed(several) for name, kind in one.gateway.attributes.items()}
        tellers = {name: source for one in reversed(several) for name, source in one.contextual().items()}
        self._snapshot = live
        if (sources, types, tellers) == (self.context.sources, self.context.types, self.context.tellers):
            return False
        self.context.declare(sources, types, tellers)
        self.pulling.declare(sources, types)
        return True

    def fields(self, files: Snapshot) -> dict[str, str]:
        """What tables tell of a consumer, in order: what the files declare, and what sources tell with how old it is."""
        found: dict[str, str] = dict(files.gateway.attributes)
        for source in self.context.sources.values():
            for name in source.attributes:
                found.setdefault(name, self.context.types[name])
            found[source.stamp] = "number"
        return found

    def bodies(self, served: Sequence[Snapshot], wanted: Wanted, fields: Mapping[str, str]) -> dict[str, bytes]:
        """The filters that tell what is said, by name. `served`: what is served, and beside it; `fields`: what tables are written with."""
        asked = Asked(served[0].told(), wanted, _sources(served))
        found = {names.SUBJECTS: subjects(self._others(fields), asked), names.CONTEXT: fresh(asked, self.context.counting())}
        return {name: discovered_body(name, inner) for name, inner in found.items()}

    def _others(self, fields: Mapping[str, str]) -> Mapping[str, str]:
        made_of = self.context.changes, tuple(fields.items())
        if self._entries[0] != made_of:
            self._entries = made_of, {one: entry(self.context.of(one), fields) for one in self.context.others()}
        return self._entries[1]

    def _taken(self, name: str, subjects: frozenset[str]) -> None:
        self._unkept = self._unkept or bool(subjects)
        self._retell(subjects)

    async def watch(self) -> None:
        """Follows time: what has ended counts no more. And keeps what nobody waits for."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look()
            changed, self._unkept = self._unkept, False
            await self._file.keep_soon(changed=changed)

    def look(self) -> None:
        """What has ended by now counts no more."""
        whole, subjects = self.context.look()
        if whole or subjects:
            self._unkept = True
            _log.warning("context is stale: %s", "; ".join(self.warnings()) or f"what was said of {len(subjects)} subjects by itself")
            self._retell(subjects)

    # What can be asked.

    def source(self, name: str) -> ContextSource:
        """A source. NotFound if there is none."""
        if name not in self.context.sources:
            raise NotFound(f"There is no ContextSource {name!r}.", code="context-unknown")
        return self.context.sources[name]

    def all(self) -> list[dict[str, Any]]:
        """How it stands with each source."""
        return [self.told(name) for name in sorted(self.context.sources)]

    def told(self, name: str) -> dict[str, Any]:
        """How it stands with one source, without what it says of anybody."""
        source, heard, now = self.source(name), self.context.heard[name], self.context.moment()
        pulled = self.pulling.sources.get(name)
        strangers = self._strangers(name)
        return {
            "name": name,
            "way": "pull" if source.pull is not None else "file" if source.file is not None else "push",
            "attributes": list(source.attributes),
            "max_age": source.max_age.total_seconds(),
            "stale": source.stale if isinstance(source.stale, str) else "defaults",
            "subjects": len(heard.subjects),
            "unknown": len(strangers),
            "unknown_first": strangers[:_NAMED],
            "said": heard.whole.at if heard.whole is not None else None,
            "age": round(heard.whole.age(now), 3) if heard.whole is not None else None,
            "counts": _counts(heard.whole, source, now) and not heard.ended,
            "stale_subjects": sum(one.ended or (one.when is None and heard.ended) for one in heard.subjects.values()),
            "error": (pulled.error if pulled is not None else "") or self._file.error,
            "etag": self.etag(name),
        }

    def _strangers(self, name: str) -> list[str]:
        """The subjects of whom nothing here is known, in order."""
        known = self._unknown.get(name)
        if known is None or known[0] != self.context.heard[name].version or known[1] is not self._snapshot:
            found = sorted(unknown(self.context.heard[name].subjects, self._snapshot)) if self._snapshot is not None else []
            known = self._unknown[name] = self.context.heard[name].version, self._snapshot, found
        return known[2]

    def etag(self, name: str) -> str:
        """Changes whenever the source says something else. NotFound if there is none."""
        self.source(name)
        return f'"{self.context.heard[name].version}"'

    def some(self, name: str, after: str, most: int) -> tuple[list[dict[str, Any]], bool]:
        """What a source says of subjects, from behind `after` on; and whether it says more."""
        self.source(name)
        wanted = sorted(one for one in self.context.heard[name].subjects if one > after)
        return [self.one(name, subject) for subject in wanted[:most]], len(wanted) > most

    def one(self, name: str, subject: str) -> dict[str, Any]:
        """What a source says of one subject. NotFound if it says nothing."""
        source, heard, now = self.source(name), self.context.heard[name], self.context.moment()
        if (said := heard.subjects.get(subject)) is None:
            raise NotFound(f"{name} says nothing of {subject!r}.", code="context-missing")
        when = said.when or heard.whole
        ended = said.ended or (said.when is None and heard.ended)
        told = {
            "said": when.at if when else None,
            "age": round(when.age(now), 3) if when else None,
            "counts": _counts(when, source, now) and not ended,
        }
        return {"subject": subject, "attributes": said.values, **told, "etag": subject_etag(said), "known": not self._is_unknown(subject)}

    def subject_tag(self, name: str, subject: str) -> str | None:
        """The ETag of what is said of a subject; None if nothing is. NotFound if there is no such source."""
        self.source(name)
        said = self.context.heard[name].subjects.get(subject)
        return subject_etag(said) if said is not None else None

    def _is_unknown(self, subject: str) -> bool:
        return self._snapshot is not None and any(unknown([subject], self._snapshot))

    async def push_all(self, name: str, said: Mapping[str, Any], check: Callable[[], None]) -> dict[str, Any]:
        """A source says all that it has to say. Returns when that is kept, and on its way to the nodes. Invalid with what is wrong. `check`
        is called right before it is taken."""
        source = self._pushed(name)
        taken = await asyncio.to_thread(checked, said, source, self.context.types)
        self._pushed(name)  # it may be declared otherwise by now
        check()
        self._retell(self.context.take_all(name, taken))
        await self._file.keep()
        return self.told(name)

    async def push_one(self, name: str, subject: str, values: Values | None) -> dict[str, Any]:
        """A source says this of one subject or, with None, nothing more."""
        source, held = self._pushed(name), self.context.heard[name].subjects
        if values is None:
            before = self.one(name, subject)
        else:
            check_room(held, subject)
            values = checked({subject: values}, source, self.context.types)[subject]
        self._retell(self.context.take_one(name, subject, values))
        await self._file.keep()
        return self.one(name, subject) if values is not None else before

    def _pushed(self, name: str) -> ContextSource:
        source = self.source(name)
        if source.push is None:
            raise Invalid(f"ContextSource/{name} is fetched: only one with `push: true` is told here.", code="context-not-pushed")
        return source

    def warnings(self) -> list[str]:
        """What needs somebody's attention."""
        found = [f"ContextSource/{name}: {told}" for name in sorted(self.context.sources) if (told := self._trouble(name))]
        return [*found, *([self._file.error] if self._file.error else [])]

    def _trouble(self, name: str) -> str:
        pulled, heard = self.pulling.sources.get(name), self.context.heard[name]
        parts = [pulled.error] if pulled is not None and pulled.error else []
        if heard.whole is None and not heard.subjects:
            parts.append("it has said nothing yet")
        elif heard.whole is not None and heard.ended:
            parts.append(f"what it said last is {heard.whole.age(self.context.moment()):.0f} s old, and counts no more")
        return "; ".join(parts)


def _sources(served: Sequence[Snapshot]) -> dict[str, ContextSource]:
    """The sources that these declare; the first that declares one counts."""
    return {name: source for one in reversed(served) for name, source in one.contexts.items()}


def subject_etag(said: Said) -> str:
    """Changes with what is said of a subject, and not with its age."""
    return f'"{hashlib.sha256(orjson.dumps(said.values, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]}"'


def _counts(when: Moment | None, source: ContextSource, now: Moment) -> bool:
    """Whether it is young enough still, also before it was noted that it has ended."""
    return when is not None and (source.stale == "keep" or when.age(now) <= source.max_age.total_seconds())
