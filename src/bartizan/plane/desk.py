"""Where changes of policy come in, by whichever door, and what counts now: which policies decide, and which are on their way out."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from bartizan.compile import Compiled, compile
from bartizan.errors import Conflict, Invalid
from bartizan.model.edits import digests, edits
from bartizan.model.problem import Place, Problem
from bartizan.model.snapshot import Snapshot
from bartizan.plane.line import Line
from bartizan.rollout.asking import By
from bartizan.rollout.combined import combined
from bartizan.rollout.doors import Counts, counts
from bartizan.rollout.kept import content_of, snapshot_of
from bartizan.rollout.loosening import loosenings
from bartizan.rollout.stages import Rollout, failed, noted, stages_of
from bartizan.rollout.standing import Standing
from bartizan.store import Change, Commit, Door

_log = logging.getLogger("bartizan")
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Around:
    """What a desk has to do with the rest of the control plane."""

    wake: Callable[[], None]
    """There is something to publish."""
    taken: Callable[[Snapshot | None, Snapshot], None]
    """Live data was declared anew: what it was, and what it is."""
    has_tests: Callable[[], bool]
    """Whether there are policy tests."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A change that somebody asks for."""

    by: By
    door: Door = "api"
    parent: int | None = None
    """The commit it was made from; None: whatever is the newest."""
    on: str | None = None
    """The newest revision when it was made; None: whatever is."""
    at_once: bool = False
    """It is let out everywhere without stages: a way back."""


class Desk:
    """The policies of one gateway."""

    def __init__(self, line: Line, standing: Standing, around: Around) -> None:
        self.line = line
        self.standing = standing
        self.compiled: Compiled | None = None
        """What is to be served everywhere."""
        self.files: Snapshot | None = None
        """What the files say, and so who may call."""
        self.candidate: Compiled | None = None
        """What is on its way out."""
        self.before: Snapshot | None = None
        """What was active before, if this process has seen it."""
        self.loosens: tuple[str, ...] = ()
        self._around = around
        self._changing = asyncio.Lock()

    @property
    def rollout(self) -> Rollout | None:
        """The newest rollout."""
        return self.line.rollout

    async def take_files(self, made: Compiled) -> None:
        """The files say this now."""
        async with self._changing:
            before, self.files, taken = self.files, made.snapshot, False
            try:
                await self._take_files(before, made)
                taken = True
            finally:
                self.files = made.snapshot if taken else before  # the next edit is compared with what was taken last
            self._around.taken(before, made.snapshot)
        self._around.wake()

    async def _take_files(self, before: Snapshot | None, made: Compiled) -> None:
        if not self.line.loaded:
            await self.line.load()
            await self._begin_unbegun()
        what = self._counts(made.snapshot)
        if what is not Counts.FILES:
            await self._go_on(made, what)
            return
        wanted = Wanted(By("files", _told(before, made.snapshot), "files"), "files")
        if self.line.newest is None or (self.compiled is not None and not self._staged(self.compiled)):
            self._take_at_once(made, wanted)
        else:
            await self._take_change(made, wanted)

    async def take_live(self, made: Compiled, seen: Snapshot, keep: Callable[[], None]) -> None:
        """Who may call is declared otherwise than in `seen`, which the files say with it. `keep` puts it where it outlasts a restart, and
        may wait for the disk. Conflict if somebody was faster; Invalid if it doesn't go with what is active."""
        async with self._changing:
            if self.files is not seen or self.compiled is None:
                raise Conflict("The files were edited at the same moment. Try again.", code="live-conflict")
            same = self.compiled.snapshot.revision == made.snapshot.revision
            compiled = made if same else self._with_live(self.compiled.snapshot, made.snapshot)
            candidate = self._with_live(self.candidate.snapshot, made.snapshot) if self.candidate is not None else None
            await asyncio.to_thread(keep)
            self.files, self.compiled, self.candidate = made.snapshot, compiled, candidate
            self._around.taken(seen, made.snapshot)
        self._around.wake()

    async def _begin_unbegun(self) -> None:
        """The newest commit was kept, and a crash came before its rollout began: it begins now."""
        commit, active = self.line.unbegun, self.line.active
        if commit is None or active is None or self.files is None:
            return
        releases = snapshot_of(await self.line.content(active), self.files).gateway.releases
        stages, implied = stages_of(releases, tests=self._around.has_tests())
        # It may be a proposal that was just applied, and isn't removed yet: nobody whose it may be approves it.
        also = await asyncio.to_thread(self.line.store.proposals.authors)
        begun = Rollout(commit.number, commit.revision, active.revision, commit.author, stages, implied, also=tuple(sorted(also)))
        await self.line.begin(replace(begun, began=time.time(), since=time.time()))

    def _counts(self, files: Snapshot) -> Counts:
        """What counts, told in the status too."""
        newest = self.line.newest if self.line.base == self.line.newest else self.line.stands
        found = counts(files.revision, self.line.base, newest)
        self.standing.drift = _drift(found, files.revision, self.line.newest)
        return found

    async def _go_on(self, made: Compiled, what: Counts) -> None:
        """The policies stay what they are; consumers and issuers are those of the files."""
        active = self.compiled.snapshot if self.compiled else await self._kept_active(made)
        self.compiled = made if active.revision == made.snapshot.revision else self._with_live(active, made.snapshot)
        if what is Counts.IN_STEP:
            await self.line.in_step(made.snapshot.revision)
        if what is Counts.DRIFT:
            self._refuse_drift(made.snapshot.revision)
        await self._go_on_with_candidate(made.snapshot)

    async def _kept_active(self, made: Compiled) -> Snapshot:
        active = self.line.active
        if active is None or active.revision == made.snapshot.revision:
            return made.snapshot
        _log.info("revision %s goes on; the files say %s", active.revision, made.snapshot.revision)
        return snapshot_of(await self.line.content(active), made.snapshot)

    async def _go_on_with_candidate(self, live: Snapshot) -> None:
        """What is on its way out goes on with this live data, after a restart too. If they don't go together, it is given up."""
        now = self.rollout
        if now is None or now.ended or (self.compiled is not None and self.compiled.snapshot.revision == now.revision):
            return
        try:
            self.candidate = self._with_live(await self._policies_of(now, live), live)
        except Invalid as error:
            told = "; ".join(map(str, error.problems)) or error.message
            why = f"it doesn't go with the consumers and issuers that the files declare now: {told}"
            _log.error("revision %s is given up: %s", now.revision, why)
            self.candidate = None
            await self.line.step(failed(now, time.time(), why, {}))

    async def _policies_of(self, now: Rollout, live: Snapshot) -> Snapshot:
        if self.candidate is not None:
            return self.candidate.snapshot
        return snapshot_of(await self.line.content(await self.line.commit_of(now.number)), live)

    def _with_live(self, policies: Snapshot, live: Snapshot) -> Compiled:
        """These policies with this live data. Invalid if they don't go together."""
        found = combined(policies, live)
        if not isinstance(found, Snapshot):
            raise Invalid("The policies that are active and the consumers and issuers of the files don't go together.", problems=found)
        made = compile(found, before=self.compiled)
        if made.problems:
            raise Invalid("These policies can't be compiled.", problems=made.problems)
        return made

    async def change(self, policies: Snapshot, wanted: Wanted) -> Commit:
        """A change by another door than the files. Invalid with every problem it has; Conflict if someone was faster."""
        async with self._changing:
            if self.files is None:
                raise Invalid("There are no files that are in order yet.")
            if wanted.on is not None and wanted.on != self.line.newest:
                told = f"Somebody was faster: revision {self.line.newest} is the newest. Look at what changed, then try again from there."
                raise Conflict(told, code="commit-conflict")
            made = self._with_live(policies, self.files)
            commit = await self._take_change(made, wanted)
            self._counts(self.files)
        self._around.wake()
        return commit

    async def _take_change(self, made: Compiled, wanted: Wanted) -> Commit:
        """Keeps a change, and lets it out at once or begins its rollout."""
        old = self.compiled or await self._compiled_active()
        self.loosens = tuple(loosenings(old.snapshot, made.snapshot)) if old is not None else ()
        by = wanted.by
        also = self._brings_along(by)
        change = Change(wanted.parent, by.author, by.message[:_LONGEST], wanted.door, self.loosens)
        commit = await self.line.commit(content_of(made.snapshot), change, any_parent=wanted.parent is None, origin=by.origin)
        self._tell_loosening(commit.revision)
        if old is None:
            self.compiled = made
            return commit
        self.before = old.snapshot
        if wanted.at_once:
            self.compiled, self.candidate = made, None
            await self._supersede(f"{by.author} went back to {commit.revision}")
            return commit
        stages, implied = stages_of(old.snapshot.gateway.releases, tests=self._around.has_tests())
        if by.emergency:
            stages, implied = ("everywhere",), 0
        at_once = by.emergency or not self._staged(old)
        self.compiled, self.candidate = (made, None) if at_once else (old, made)
        begun = Rollout(commit.number, commit.revision, old.snapshot.revision, by.author, stages, implied, also=also)
        await self.line.begin(replace(begun, began=time.time(), since=time.time(), emergency=by.emergency))
        return commit

    def _brings_along(self, by: By) -> tuple[str, ...]:
        """Who else made this one, and the changes that are on their way out still: it is made on top of them."""
        last = self.rollout
        under_way = set() if last is None or last.ended or self.candidate is None else {last.author, *last.also}
        return tuple(sorted({*under_way, *by.beside} - {by.author}))

    async def _supersede(self, why: str) -> None:
        """What was on its way out isn't any more."""
        if self.rollout is not None and not self.rollout.ended:
            await self.line.step(noted(self.rollout, time.time(), why, "superseded", why))

    def _staged(self, old: Compiled) -> bool:
        """Whether a change of these policies doesn't decide at once."""
        releases = old.snapshot.gateway.releases
        return releases.staged or releases.guards is not None or self._around.has_tests()

    def _take_at_once(self, made: Compiled, wanted: Wanted) -> None:
        """An edit of the files that needs no stages: nobody waits for the disk. If a crash comes first, the files are there to be read."""
        self.loosens = tuple(loosenings(self.compiled.snapshot, made.snapshot)) if self.compiled is not None else ()
        self.line.commit_soon(made.snapshot, Change(None, wanted.by.author, wanted.by.message[:_LONGEST], wanted.door, self.loosens))
        self._tell_loosening(made.snapshot.revision)
        self.before = self.compiled.snapshot if self.compiled is not None else None
        self.compiled, self.candidate = made, None

    async def _compiled_active(self) -> Compiled | None:
        if self.line.active is None or self.files is None:
            return None
        return self._with_live(snapshot_of(await self.line.content(self.line.active), self.files), self.files)

    def _tell_loosening(self, revision: str) -> None:
        for sentence in self.loosens:
            _log.warning("revision %s LOOSENS: %s", revision, sentence)
            self.standing.loosened.append(f"{revision}: {sentence}")
        del self.standing.loosened[:-50]

    async def roll_back(self, to: str | None, by: By) -> Commit:
        """Back to a kept revision; by default to the one before the one that is active. Decides everywhere at once."""
        commit = await self.line.before(to)
        if self.files is None:
            raise Invalid("There are no files that are in order yet.")
        policies = snapshot_of(await self.line.content(commit), self.files)
        return await self.change(policies, Wanted(by, "rollback", at_once=True))

    def refused(self, back: Compiled) -> None:
        """An Envoy has refused what was to be served; this is served everywhere again."""
        self.compiled = back

    def wake(self) -> None:
        """There is something to publish."""
        self._around.wake()

    def let_out(self) -> None:
        """The candidate decides everywhere from now on."""
        if self.candidate is not None:
            self.compiled, self.candidate = self.candidate, None
            self._around.wake()

    def drop(self) -> None:
        """The candidate is given up."""
        self.candidate = None
        if self.files is not None:
            self._counts(self.files)

    def _refuse_drift(self, revision: str) -> None:
        self.standing.refuse((_drifted(revision, self.line.newest or ""),))
        _log.error("the edit of the files isn't taken: %s", self.standing.refused[0])


def _drifted(files: str, newest: str) -> Problem:
    told = f"the files say revision {files}, but since they were taken last, revision {newest} came by another way"
    hint = "Compare with `bartizan diff`; then `bartizan apply` takes the files, or `bartizan dump` writes what is active into them."
    return Problem(Place(".", 1), "files-drifted", told, hint)


def _drift(what: Counts, files: str, newest: str | None) -> str:
    if what is Counts.STORE:
        return f"the files say {files}; {newest} came by another way and is newer"
    return f"the files say {files} and {newest} came by another way: neither follows the other" if what is Counts.DRIFT else ""


def _told(before: Snapshot | None, after: Snapshot) -> str:
    """What has changed, as a message."""
    if before is None:
        return "the files as they were found"
    found = edits(digests(before, live=False), digests(after, live=False))
    sentences = [f"{what} {', '.join(names)}" for what, names in found.to_json().items() if names]
    return "; ".join(sentences) or "the files that policies name"
