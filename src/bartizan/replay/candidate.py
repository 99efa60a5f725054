"""The revision that is asked: a scratch instance of it, in which what records can't tell refuses nothing."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from bartizan.compile import Compiled
from bartizan.model.snapshot import Snapshot
from bartizan.policies import PolicyKind
from bartizan.policies.cors import Cors
from bartizan.policies.protect import Protect
from bartizan.replay.asking import Asker, recordable
from bartizan.replay.judging import Answered, Decider
from bartizan.replay.needs import needs
from bartizan.replay.then import Then
from bartizan.scratch import Question, Scratch
from bartizan.scratch.frame import DECIDED
from bartizan.scratch.request import setting_of
from bartizan.scratch.wire import Answer, Sent
from bartizan.telemetry.decision import decision_of

AT_ONCE = 16
"""Questions that are with Envoy at once."""
_MOST_KEPT = 100_000
_TOLD = (b"x-bartizan-told-details", b"x-bartizan-told-route")
_Kept = tuple[str, int, bytes, bytes]


class Candidate:
    """Answers questions out of records, many at once. Use it as `Scratch` is used."""

    def __init__(self, compiled: Compiled, then: Then | None = None, *, envoy: Path | None = None) -> None:
        self.snapshot = compiled.snapshot
        self._hidden = frozenset(_unrecordable(compiled.snapshot))
        self._scratch = Scratch(_shadowed(compiled.snapshot, self._hidden), envoy=envoy, connections=AT_ONCE, told=DECIDED)
        setting, listeners = setting_of(self.snapshot), tuple(one.name for one in self.snapshot.gateway.listeners)
        # What was taken off a path says who declared it then.
        apis = {**self.snapshot.apis, **(then.active.snapshot.apis if then is not None else {})}
        consumers = (then.active if then is not None else compiled).snapshot.consumers
        self.asker = Asker(setting, listeners, compiled.asked(), _smallest_body(self.snapshot), apis, then or _nothing, consumers)
        self._deciding: dict[tuple[str, str, str], tuple[tuple[Decider, ...], str]] = {}
        self._read: dict[_Kept, Answered] = {}
        self._running = AsyncExitStack()

    async def __aenter__(self) -> "Candidate":
        await self._running.enter_async_context(self._scratch)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._running.aclose()

    def written(self, question: Question) -> Sent:
        """The question as it travels. Unaskable if it can't be put."""
        return self._scratch.written(question)

    async def ask(self, question: Question, request: Sent) -> Answered:
        """What it says. Unavailable if Envoy has ended."""
        return self._answered(question, await self._scratch.answer(question, request))

    def _answered(self, question: Question, answer: Answer) -> Answered:
        """What an answer tells. Few differ, so what was read of one is kept."""
        details, route = (answer.headers.get(name, b"") for name in _TOLD)
        key = (question.method, answer.status, details, route)
        if key not in self._read:
            if len(self._read) >= _MOST_KEPT:
                self._read.clear()
            record = self._scratch.told(question, answer)
            decision = decision_of(record)
            deciders, preflights = self._deciders(record)
            self._read[key] = Answered(decision.refused, decision.by, record["api"] or "", record["route"] or "", deciders, preflights)
        return self._read[key]

    def _deciders(self, record: dict[str, Any]) -> tuple[tuple[Decider, ...], str]:
        """The policies that decide on a route, and the one that answers preflights there."""
        where = (record["api"] or "", record["route"] or "", record["http_method"])
        if where not in self._deciding:
            if len(self._deciding) >= _MOST_KEPT:
                self._deciding.clear()
            found, preflights = [], ""
            for policy, covering in self._scratch.policies(record):
                if isinstance(policy, Cors):
                    preflights = policy.id
                elif covering.role == "decides" and (not covering.shadow or policy.id in self._hidden):
                    found.append(Decider(policy.id, needs(policy, where[0], self.snapshot)))
            self._deciding[where] = tuple(found), preflights
        return self._deciding[where]


def _nothing(record: object) -> frozenset[str]:
    """Of what was asked then, nothing is known."""
    return frozenset()


def _unrecordable(snapshot: Snapshot) -> Iterator[str]:
    """The policies that ask for what no record tells. In shadow they let the others be asked, of which one may refuse for sure."""
    apis = tuple(snapshot.apis)
    for policy in snapshot.policies:
        if not isinstance(policy, PolicyKind) or policy.mode != "enforce" or policy.of_listener or not policy.may_shadow or not apis:
            continue
        asked = needs(policy, policy.target.api or apis[0], snapshot)
        if not all(recordable(need) for need in asked):
            yield policy.id


def _shadowed(snapshot: Snapshot, hidden: frozenset[str]) -> Snapshot:
    policies = tuple(one.model_copy(update={"mode": "shadow"}) if one.id in hidden else one for one in snapshot.policies)
    return replace(snapshot, policies=policies)


def _smallest_body(snapshot: Snapshot) -> int:
    """The smallest body that some policy finds too large; 0 if there is none."""
    every = [*(one for one in snapshot.policies if isinstance(one, Protect) and one.mode == "enforce"), Protect.fallback()]
    return min((one.body for one in every if one.body), default=0)
