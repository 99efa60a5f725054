"""What can be asked of the control plane, by the admin API and so by the command line."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bartizan.admin.plane import Documents, Envoy
from bartizan.admin.teams import check_team, check_touched, check_whole
from bartizan.compile import compile
from bartizan.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from bartizan.identity.accounts import Accounts
from bartizan.identity.brake import Brake, Brakes
from bartizan.identity.operators import Operators
from bartizan.model.edits import digests
from bartizan.model.snapshot import Key, Snapshot
from bartizan.plane.authorization import Authorization
from bartizan.plane.changed import changed
from bartizan.plane.contexts import Contexts
from bartizan.plane.declaring import Declaring
from bartizan.plane.desk import Desk, Wanted
from bartizan.plane.hygiene import Hygiene
from bartizan.plane.keys import Keys
from bartizan.plane.living import Living
from bartizan.plane.named import Named
from bartizan.plane.noting import Noting
from bartizan.plane.proposals import Proposals
from bartizan.plane.publishing import Publisher
from bartizan.plane.rollouts import Rollouts
from bartizan.plane.trials import Trials, explained
from bartizan.rollout.asking import By
from bartizan.rollout.covering import told_of_route
from bartizan.rollout.kept import snapshot_of
from bartizan.rollout.stages import Asked, Rollout
from bartizan.store import Commit, Event, Store
from bartizan.telemetry.callers import History, Sees, history
from bartizan.telemetry.explained import of_route
from bartizan.telemetry.impact import impact, met_by
from bartizan.telemetry.search import record

_NO_FILES: Mapping[str, bytes] = {}
_ENFORCE_S = 10.0
_DAY_S = 86400.0
_TELLING = 100
"""Fewer requests than this tell nothing of how much a brake would meet."""


@dataclass(slots=True)
class Operations:
    """The operations, over the parts that do the work."""

    desk: Desk
    living: Living
    publisher: Publisher
    rollouts: Rollouts
    envoy: Envoy
    store: Store
    operators: Operators
    accounts: Accounts
    authorization: Authorization
    folder: Path
    files: Path
    told: Callable[[], dict[str, Any]]
    noting: Noting
    declaring: Declaring
    trials: Trials = field(init=False)
    named: Named = field(init=False)
    keys: Keys = field(init=False)
    proposals: Proposals = field(init=False)
    hygiene: Hygiene = field(init=False)

    def __post_init__(self) -> None:
        self.named = Named(self.desk, self.living, self.publisher)
        self.keys = Keys(self.desk, self.living, lambda: self.declaring.declared)
        self.trials = Trials(self.desk, self.store, self.files, self.folder, self.active, self.newest, changed, self.contexts.context.fresh)
        self.proposals = Proposals(self.store, self.newest, self.judged, self.change, self.trials.diff)
        self.hygiene = Hygiene(lambda: self.desk.compiled)

    @property
    def brakes(self) -> Brakes:
        """The emergency brakes."""
        return self.living.brakes

    def gateway_name(self) -> str:
        """As the Gateway is called; empty as long as nothing is active."""
        compiled = self.desk.compiled
        return compiled.snapshot.gateway.name if compiled is not None else ""

    @property
    def contexts(self) -> Contexts:
        """What context sources say."""
        return self.living.contexts

    @property
    def rollout(self) -> Rollout | None:
        """The rollout that is under way, or the last one."""
        return self.desk.rollout

    def status(self) -> dict[str, Any]:
        """What `bartizan status` shows."""
        return self.told()

    def active(self) -> Snapshot:
        """What is active. Unavailable if nothing is yet."""
        if self.publisher.state is None:
            raise Unavailable("Nothing is active yet: the gateway has no files that are in order.", code="nothing-active")
        return self.publisher.state.compiled.snapshot

    def digests(self) -> dict[str, str]:
        """What each resource that is active says, as a hash; but for those that the API alone declares, whatever the files say."""
        held = digests(self.publisher.state.compiled.snapshot) if self.publisher.state else {}
        by_api = {f"{one.kind}/{one.name}" for one in self.declaring.declared.read().resources}
        return {name: one for name, one in held.items() if name not in by_api}

    def declared(self, kind: str, name: str) -> dict[str, Any] | None:
        """A resource as it is active, or None."""
        held = self.publisher.state.compiled.snapshot.resources if self.publisher.state else {}
        found = held.get((kind, name))
        return found.value.model_dump(mode="json", by_alias=True) if found else None

    def covering(self, api: str, route: str, method: str, revision: str = "") -> dict[str, Any]:
        """The policies that cover a route, as they are active; or as that revision says, if it is on its way out."""
        state, candidate = self.publisher.state, self.desk.candidate
        if candidate is not None and candidate.snapshot.revision == revision:
            return {**told_of_route(candidate, {}, api, route, method), "revisions": [revision]}
        return told_of_route(state.compiled, state.stamps, api, route, method) if state else {}

    async def explained(self, request_id: str) -> dict[str, Any]:
        """The decision on a request that has happened, by its record."""
        found = await asyncio.to_thread(record, self.folder / "records", request_id)
        if found is None:
            raise NotFound(f"There is no record of {request_id}: it is too old, or another gateway's.", code="record-missing")
        where = (str(found.get(name) or "") for name in ("api", "route", "http_method", "revision"))
        told = self.covering(*where) or {"policies": [], "revisions": [found.get("revision")], "revision": ""}
        return explained(of_route(found, told), str(told["revision"]))

    async def newest(self) -> Snapshot:
        """What the newest revision says that wasn't given up, be it active or on its way out. Unavailable if there is none yet."""
        desk = self.desk
        stands = desk.line.stands
        for made in (desk.candidate, desk.compiled):
            if made is not None and made.snapshot.revision == stands:
                return made.snapshot
        if desk.files is None or stands is None:
            raise Unavailable("Nothing is active yet: the gateway has no files that are in order.", code="nothing-active")
        commit = await asyncio.to_thread(self.store.revisions.find, stands)
        return snapshot_of(await desk.line.content(commit), desk.files)

    def refused(self, event: Event) -> None:
        """Notes that somebody was refused."""
        self.noting.refused(event)

    async def audit(self, actor: str, action: str, target: str, origin: str, **details: Any) -> None:
        """Notes that somebody did something."""
        await self.desk.line.audit(Event(actor, action, target, origin, "done", details))

    async def change(
        self, documents: Documents, by: By, parent: int | None, files: Mapping[str, bytes] = _NO_FILES, seen: str | None = None
    ) -> Commit:
        """Documents put or, with None, taken away, as one change of what is newest. One that changes nothing gives the newest commit."""
        on = self.desk.line.newest
        before = await self.newest()
        if seen is not None and seen != before.revision:
            raise Conflict(f"Somebody was faster: revision {before.revision} is the newest now. Look again.", code="commit-conflict")
        after = _made_of(before, documents, files, by)
        if after.revision == before.revision and parent is None:
            return await asyncio.to_thread(self.store.revisions.find, before.revision)
        problems = self.living.problems(after, before)
        if problems:
            raise Invalid("The change can't be taken.", problems=problems)
        return await self.desk.change(after, Wanted(by, parent=parent, on=on))

    async def judged(self, documents: Documents, by: By) -> tuple[Snapshot, Snapshot]:
        """What is newest, and what these documents would make of it; nothing is kept. Invalid with every problem, as a change has them."""
        before = await self.newest()
        after = _made_of(before, documents, _NO_FILES, by)
        made = await asyncio.to_thread(compile, after, before=self.desk.compiled)
        if problems := (*made.problems, *self.living.problems(after, before)):
            raise Invalid("The change can't be taken.", problems=problems)
        return before, after

    async def met_again(self, record: Mapping[str, Any], sees: Sees) -> History:
        """What else the caller of this recorded request did of late, as far as whoever asks may see it."""
        return await asyncio.to_thread(history, self.folder / "records", record, sees)

    async def declare(self, key: Key, body: bytes | None, by: By) -> int:
        """A consumer or an issuer declared or, with None, taken away. It holds within a second; the generation that holds it."""
        return await self.declaring.declare(key, body, by)

    async def roll_back(self, to: str | None, by: By, *, owner: bool) -> dict[str, Any]:
        """Back to a kept revision; returns when it is enforced. Only an `owner` goes back past her own rules of letting changes out."""
        began = time.perf_counter()
        check_whole(by.team, "the way back")
        if not owner:
            await self._check_releases(to)
        commit = await self.desk.roll_back(to, by)
        await self._enforced(commit.revision)
        took = (time.perf_counter() - began) * 1000
        nodes = len(self.publisher.server.nodes())
        await self.audit(
            by.author, "revision.rollback", f"revision/{commit.revision}", by.origin, reason=by.message, enforced_ms=round(took, 1)
        )
        return {"revision": commit.revision, "commit": commit.number, "enforced_ms": took, "nodes": nodes}

    async def _check_releases(self, to: str | None) -> None:
        line = self.desk.line
        content = await line.content(await line.before(to))
        active = self.active()
        if snapshot_of(content, active).gateway.releases != active.gateway.releases:
            raise Forbidden("Changes were let out by other rules then: only an admin may go back past those of now.", code="owners-own")

    async def _enforced(self, revision: str) -> None:
        """Returns when this is active. Unavailable if it isn't in time, or an Envoy refuses it."""
        standing = self.publisher.standing
        standing.error = ""
        deadline = time.monotonic() + _ENFORCE_S
        while standing.revision != revision:
            if standing.error:
                raise Unavailable(f"It wasn't taken: {standing.error}", code="refused-by-envoy")
            if time.monotonic() > deadline:
                raise Unavailable("It is kept, but no node has it yet: see `bartizan status`.", code="not-enforced")
            await asyncio.sleep(0.001)

    async def ask(self, what: Asked, by: By) -> Rollout:
        """Something is asked of the rollout that is under way."""
        if by.team is not None:
            self._check_rollout(by.team)
        now = await self.rollouts.ask(what, by)
        await self.audit(by.author, f"rollout.{what}", f"revision/{now.revision}", by.origin, stage=now.stage, status=now.status)
        return now

    def _check_rollout(self, team: str) -> None:
        """Forbidden to a token of a team, if what is on its way out isn't all the team's."""
        active, candidate = self.desk.compiled, self.desk.candidate
        if active is None or candidate is None:
            check_whole(team, "what is under way, if anything is,")
        else:
            check_team(team, active.snapshot, candidate.snapshot)

    async def brake(self, wanted: Brake, by: By, *, emergency: bool, dry: bool) -> dict[str, Any]:
        """Sets a brake, after looking at how much of yesterday's traffic it would have refused; `dry`: only looks. In an emergency it holds
        first: a busy day's records take a while to read."""
        check_whole(by.team, "a block")
        checked = self.brakes.checked(wanted)
        made = await self._hold(checked, waits=False) if emergency and not dry else None
        met = await asyncio.to_thread(impact, self.folder / "records", time.time() - _DAY_S, met_by(checked.what, checked.value))
        told = {name: getattr(met, name) for name in ("requests", "matched", "share", "looked_at")}
        told |= {"consumers": list(met.consumers), "block": None}
        if dry:
            return told
        if made is None:
            much = met.requests >= _TELLING and met.share > self.active().gateway.releases.brake_share
            made = await self._hold(checked, waits=much)
        details = {"what": made.what, "value": made.value, "until": made.until, "reason": made.reason, "share": met.share}
        await self.audit(by.author, "block.ask" if made.waits else "block", made.id, by.origin, emergency=emergency, **details)
        return {**told, "block": asdict(made)}

    async def _hold(self, checked: Brake, *, waits: bool) -> Brake:
        """It is in the journal, and on its way to the nodes: nothing waits for the audit log."""
        made = await asyncio.to_thread(self.brakes.brake, checked, waits=waits)
        self.living.take_brakes()
        return made


def _made_of(before: Snapshot, documents: Documents, files: Mapping[str, bytes], by: By) -> Snapshot:
    """What these documents make of what is newest. Invalid with every problem; Forbidden if that isn't all the team's of who asks."""
    try:
        after = changed(before, documents, files)
    except Invalid:
        check_touched(by.team, before, documents)  # who may not touch it isn't told what would be wrong with that
        raise
    check_team(by.team, before, after)
    return after
