"""Revisions tried out for whoever asks: their tests, what they mean against another, what they say of a request, or of those recorded.

Nothing that is tried decides anything. One thing at a time is tried, because each needs a scratch instance of its own, and the machine is
that of the gateway.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bartizan.admin.plane import Documents, HypotheticalRequest
from bartizan.cases import Judge, case_files, kept, outcomes, trials
from bartizan.cases.telling import broken_told, case_told
from bartizan.compile import Compiled, compile
from bartizan.errors import BartizanError, Invalid, NotFound, TooMany
from bartizan.identity.credentials import view
from bartizan.meaning import difference
from bartizan.meaning.telling import told as meaning_told
from bartizan.model.attributes import has_type
from bartizan.model.edits import digests, edits, file_digests
from bartizan.model.snapshot import Snapshot
from bartizan.plane.desk import Desk
from bartizan.replay import Candidate, Records, Replay, Window
from bartizan.replay.telling import told as tally_told
from bartizan.replay.then import Then
from bartizan.rollout.kept import snapshot_of
from bartizan.rollout.loosening import loosenings
from bartizan.scratch import Certificate, Principal, Question, Scratch, Token, Unaskable, UnknownKey
from bartizan.store import Store
from bartizan.telemetry.explained import Explained

_MOST_WAITING = 8
_MOST_KEPT = 20
_MOST_GROUPS = 1000
_SOON_S = 5.0
Changed = Callable[[Snapshot, Documents, Mapping[str, bytes]], Snapshot]


@dataclass(slots=True)
class Trials:
    """What can be tried. `files`: where test files are; `folder`: the gateway's state; `changed`: a snapshot with other documents."""

    desk: Desk
    store: Store
    files: Path
    folder: Path
    active: Callable[[], Snapshot]
    newest: Callable[[], Awaitable[Snapshot]]
    changed: Changed
    said: Callable[[str], Mapping[str, Any]]
    """What context sources say now, by the principal's id."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: int = 0
    _replays: dict[str, dict[str, Any]] = field(default_factory=dict)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def tests(self, revision: str | None) -> dict[str, Any]:
        """The tests and invariants beside the policies, asked of a revision; by default the newest."""
        async with self._one_at_a_time():
            made, began = await self._compiled(revision), time.monotonic()
            reading = await asyncio.to_thread(case_files(self.files).read)
            asked, wrong = trials(reading.found, made)
            judge = Judge(made)
            problems = (*reading.problems, *wrong, *judge.problems(reading.invariants))
            if problems:
                raise Invalid("The tests can't be read.", problems=tuple(sorted(problems)))
            async with Scratch(made.snapshot) as scratch:
                found, held = await outcomes(scratch, asked), await kept(scratch, judge, reading.invariants)
        failed = sum(not one.passed for one in found) + sum(not one.passed for one in held)
        return {
            "revision": made.snapshot.revision,
            "passed": len(found) + len(held) - failed,
            "failed": failed,
            "seconds": round(time.monotonic() - began, 3),
            "cases": list(map(case_told, found)),
            "invariants": list(map(broken_told, held)),
        }

    async def diff(
        self, revision: str | None, documents: Callable[[Snapshot], Documents] | None, files: Mapping[str, bytes], against: str | None
    ) -> dict[str, Any]:
        """What a revision, or the documents put or taken away, says otherwise than another revision, by default what is active; and what
        that means. Consumers and issuers are those of now on both sides."""
        async with self._one_at_a_time():
            old = await self._compiled(against) if against is not None else await _made(self.active())
            if documents is not None:
                new = await _made(self.changed(old.snapshot, documents(old.snapshot), files))
            else:
                new = await self._compiled(revision)
            return await asyncio.to_thread(_compared, old, new)

    async def explain(self, wanted: HypotheticalRequest, revision: str | None) -> dict[str, Any]:
        """What a revision, by default what is active, would say of a request that hasn't happened."""
        async with self._one_at_a_time():
            made = await self._compiled(revision) if revision is not None else await _made(self.active())
            question = _question(wanted, made.snapshot, self.said)
            try:
                async with Scratch(made.snapshot) as scratch:
                    record = await scratch.record(question)
                    covering = scratch.covering(record)
            except Unaskable as error:
                raise Invalid(str(error), code="unaskable") from error
        declared = {policy.id: policy.model_dump(mode="json", by_alias=True) for policy in made.snapshot.policies}
        return explained(Explained(record, covering, declared, hypothetical=True), made.snapshot.revision)

    async def replay(self, revision: str | None, last: timedelta, most: int) -> dict[str, Any]:
        """Has the requests of the last while judged by a revision. Returns what came of it if that is soon; else how it stands."""
        self._check_waiting()
        ident = f"rpl_{secrets.token_hex(6)}"
        self._replays[ident] = {"id": ident, "status": "running", "why": "", "result": None}
        for old in list(self._replays)[:-_MOST_KEPT]:
            del self._replays[old]
        task = asyncio.create_task(self._replayed(ident, revision, last, most))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait([task], timeout=_SOON_S)
        return self._replays[ident]

    def replayed(self, ident: str) -> dict[str, Any]:
        """How a replay stands. NotFound if it is none, or too long ago."""
        if ident not in self._replays:
            raise NotFound(
                f"There is no replay {ident}; the last {_MOST_KEPT} are kept, until the control plane ends.", code="replay-missing"
            )
        return self._replays[ident]

    async def _replayed(self, ident: str, revision: str | None, last: timedelta, most: int) -> None:
        try:
            result = await self._judged(revision, last, most)
        except BartizanError as error:
            self._replays[ident] |= {"status": "failed", "why": error.message}
        else:
            self._replays[ident] |= {"status": "done", "result": result}

    async def _judged(self, revision: str | None, last: timedelta, most: int) -> dict[str, Any]:
        async with self._one_at_a_time():
            made, active, began = await self._compiled(revision), await _made(self.active()), time.monotonic()
            window = Window(datetime.now(UTC) - last)
            with Records.folder(self.folder / "records", window, most) as records:
                async with Candidate(made, Then(active)) as candidate:
                    tally = await Replay(candidate).run(records.read())
                skipped = records.skipped
        told = tally_told(tally, _MOST_GROUPS)
        return {**told, "candidate": made.snapshot.revision, "skipped_lines": skipped, "seconds": round(time.monotonic() - began, 3)}

    async def _compiled(self, revision: str | None) -> Compiled:
        if revision is None:
            return await _made(await self.newest())
        if self.desk.files is None:
            raise Invalid("There are no files that are in order yet.")
        commit = await asyncio.to_thread(self.store.revisions.find, revision)
        content = await asyncio.to_thread(self.store.revisions.content, commit)
        return await _made(await asyncio.to_thread(snapshot_of, content, self.desk.files))

    def _check_waiting(self) -> None:
        if self._waiting >= _MOST_WAITING:
            raise TooMany("Too much is being tried out already. Try again in a moment.", code="trials-busy")

    @asynccontextmanager
    async def _one_at_a_time(self) -> AsyncIterator[None]:
        self._check_waiting()
        self._waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1


async def _made(snapshot: Snapshot) -> Compiled:
    made = await asyncio.to_thread(compile, snapshot)
    if made.problems:
        raise Invalid("It has problems.", problems=made.problems)
    return made


def _compared(old: Compiled, new: Compiled) -> dict[str, Any]:
    before, after = ({**digests(one.snapshot), **file_digests(one.snapshot)} for one in (old, new))
    return {
        "against": old.snapshot.revision,
        "revision": new.snapshot.revision,
        **edits(before, after).to_json(),
        "loosened": list(loosenings(old.snapshot, new.snapshot)),
        "meaning": meaning_told(difference(old, new)),
    }


def explained(one: Explained, revision: str) -> dict[str, Any]:
    """As it is told, with the policies that cover the request as they are declared."""
    policies = [
        {"policy": each.policy, "role": each.role, "shadow": each.shadow, "declared": dict(one.declared.get(each.policy, {}))}
        for each in one.covering
    ]
    return {**one.told(), "revision": revision, "policies": policies}


def _question(wanted: HypotheticalRequest, snapshot: Snapshot, said: Callable[[str], Mapping[str, Any]]) -> Question:
    return Question(
        wanted.method,
        wanted.path,
        wanted.host,
        tuple(wanted.headers),
        principal=_principal(wanted, snapshot),
        at=wanted.at,
        source=wanted.source,
        listener=wanted.listener,
        size=wanted.size,
        device=wanted.device,
        device_state=_device_state(wanted.device, snapshot),
        context=_context(wanted, snapshot, said),
        place=tuple(wanted.place.items()),
    )


def _context(wanted: HypotheticalRequest, snapshot: Snapshot, said: Callable[[str], Mapping[str, Any]]) -> dict[str, Any]:
    """What sources say of who asks, as far as this revision has sources tell it."""
    if wanted.context is None:
        issuer = snapshot.issuers.get(wanted.issuer)
        found = said(wanted.consumer or f"{issuer.issuer if issuer is not None else wanted.ca}|{wanted.subject or wanted.san}")
    else:
        found = wanted.context
    types = {name: snapshot.gateway.attributes[name] for name in snapshot.contextual()}
    for name, value in found.items() if wanted.context is not None else ():
        if name not in types or not has_type(value, types[name]):
            raise Invalid(f"No ContextSource tells the attribute {name!r} as this.", code="attribute-undeclared")
    return {name: value for name, value in found.items() if name in types}


def _device_state(name: str, snapshot: Snapshot) -> str:
    if name and name not in snapshot.devices:
        raise NotFound(f"There is no Device {name!r}.", code="device-unknown")
    return snapshot.devices[name].state if name else "pending"


def _principal(wanted: HypotheticalRequest, snapshot: Snapshot) -> Principal | None:
    if wanted.consumer:
        if (consumer := snapshot.consumers.get(wanted.consumer)) is None:
            raise NotFound(f"There is no Consumer {wanted.consumer!r}.", code="consumer-unknown")
        return view(consumer) if consumer.counts(wanted.at or datetime.now(UTC)) else UnknownKey()
    if wanted.issuer:
        if wanted.issuer not in snapshot.issuers:
            raise NotFound(f"There is no Issuer {wanted.issuer!r}.", code="issuer-unknown")
        return Token(wanted.issuer, wanted.subject, dict(wanted.claims))
    return Certificate(wanted.ca, wanted.san, wanted.fingerprint) if wanted.ca else None
