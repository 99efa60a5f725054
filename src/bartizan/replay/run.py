"""Puts recorded requests to a candidate, and counts what it says. Equal questions are put once, where nothing that differs matters."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bartizan.replay.asking import Asking
from bartizan.replay.candidate import AT_ONCE, Candidate
from bartizan.replay.judging import Answered, Judged, judged
from bartizan.replay.outcome import NoDecision, Recorded, outcome
from bartizan.replay.tally import Tally, Where
from bartizan.scratch import Question, Unaskable

_MOST_IN_A_ROW = 64
_MOST_KEPT = 100_000
_LONGEST = 120
_OF_PATH = frozenset({"no-api", "malformed-path"})
"""Refusals that hold for a path, whoever asks."""
_Key = tuple[Any, ...]
_MATTERS = {"at": "now", "source": "source.ip", "ja4": "device.ja4", "headers": "device.type"}
"""Parts of a question that few policies ask for, and what they call them."""


_Waiting = tuple[Mapping[str, Any], Recorded, Asking]


@dataclass(slots=True)
class Replay:
    """One replay."""

    candidate: Candidate
    tally: Tally = field(default_factory=Tally)
    _answers: dict[_Key, Answered] = field(default_factory=dict)
    _matters: dict[_Key, frozenset[str]] = field(default_factory=dict)
    """What policies ask for, by listener, method, host and path."""
    _waiting: dict[_Key, list[_Waiting]] = field(default_factory=dict)
    """The records that wait for the answer to a question that is with Envoy."""

    async def run(self, records: Iterable[Mapping[str, Any]]) -> Tally:
        """Judges all records. Unavailable if Envoy has ended."""
        shared = iter(records)
        tasks = [asyncio.create_task(self._work(shared)) for _ in range(AT_ONCE)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return self.tally

    async def _work(self, records: Iterator[Mapping[str, Any]]) -> None:
        """One question after the other, out of the records that nobody has taken yet."""
        for i, record in enumerate(records):
            recorded = outcome(record)
            if isinstance(recorded, NoDecision):
                self.tally.no_decision[recorded.reason] += 1
            elif (asking := self._asking(record, recorded)) is not None:
                await self._judge(record, recorded, asking)
            if i % _MOST_IN_A_ROW == 0:
                await asyncio.sleep(0)  # where all answers are known already, others have their turn too

    def _asking(self, record: Mapping[str, Any], recorded: Recorded) -> Asking | None:
        try:
            return self.candidate.asker.asking(record, recorded)
        except Unaskable as error:
            self._count(_unasked(error), record, str(record.get("principal") or ""), None)
            return None
        except ValueError:
            self.tally.no_decision["the record can't be read"] += 1
            return None

    async def _judge(self, record: Mapping[str, Any], recorded: Recorded, asking: Asking) -> None:
        key = self._key(asking.question)
        if (answered := self._answers.get(key)) is not None:
            self._take(answered, record, recorded, asking)
            return
        waiting = self._waiting.setdefault(key, [])
        waiting.append((record, recorded, asking))
        if len(waiting) > 1:
            return  # who asks it already counts this record too
        try:
            answered = await self.candidate.ask(asking.question, self.candidate.written(asking.question))
        except Unaskable as error:
            for each in self._waiting.pop(key):
                self._count(_unasked(error), each[0], each[2].who, None)
            return
        self.tally.asked += 1
        self._keep(key, asking.question, answered)
        for each in self._waiting.pop(key):
            self._take(answered, *each)

    def _keep(self, key: _Key, question: Question, answered: Answered) -> None:
        if len(self._answers) > _MOST_KEPT:
            self._answers.clear()
            self._matters.clear()
        path = question.listener, question.method, question.host, question.path
        if path not in self._matters and (answered.api or answered.by in _OF_PATH):
            self._matters[path] = frozenset().union(*(one.needs for one in answered.deciders))
            key = self._key(question)  # which the next one like it has
        self._answers[key] = answered

    def _key(self, question: Question) -> _Key:
        """What the answer depends on, as far as it is known what policies ask for there."""
        path = question.listener, question.method, question.host, question.path
        asked = self._matters.get(path)
        place = tuple(one for one in question.place if asked is None or f"source.{one[0]}" in asked)
        rest: list[Any] = [question.principal, question.device, question.device_state, question.size, place]
        for part, need in _MATTERS.items():
            if asked is None or need in asked:
                rest.append(getattr(question, part))
            elif part == "headers":
                rest.append(tuple(one for one in question.headers if one[0] != "user-agent"))
        return (*path, asked is None, *rest)

    def _take(self, answered: Answered, record: Mapping[str, Any], recorded: Recorded, asking: Asking) -> None:
        found = judged(recorded, asking.evidence, answered, asking.question.method)
        self.tally.now += asking.now
        self._count(found, record, asking.who, answered)

    def _count(self, found: Judged, record: Mapping[str, Any], who: str, answered: Answered | None) -> None:
        """Where it went is told by the record; if it came to no route then, by the answer."""
        api, route = record.get("api"), record.get("route")
        if not api and answered is not None:
            api, route = answered.api, answered.route
        where = Where(who, api or "", route or "", str(record.get("http_method") or ""))
        self.tally.add(found, where, str(record.get("request_id") or ""))


def _unasked(error: Unaskable) -> Judged:
    return Judged("untold", "", (str(error)[:_LONGEST],))
