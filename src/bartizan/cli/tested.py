"""What came of a test run: for people, as JSON, and as JUnit XML for build servers."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as Xml

from bartizan.cases import Kept, Outcome
from bartizan.cases.run import expected
from bartizan.cases.telling import broken_told, case_told
from bartizan.cli.broken import broken_lines
from bartizan.cli.explanation import Explanation
from bartizan.cli.output import painted, printable, say
from bartizan.model.problem import Problem

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COLOUR = re.compile(r"\x1b\[\d+m")


@dataclass(frozen=True, slots=True)
class Tested:
    """The outcomes of a run; or the problems for which nothing was run."""

    revision: str
    outcomes: tuple[Outcome, ...] = ()
    declared: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The policies as they are declared, by their ids."""
    seconds: float = 0.0
    problems: tuple[Problem, ...] = ()
    invariants: tuple[Kept, ...] = ()

    @property
    def good(self) -> bool:
        """Whether all pass."""
        return not self.problems and not self._failed() and not self._broken()

    def _broken(self) -> tuple[Kept, ...]:
        return tuple(one for one in self.invariants if not one.passed)

    def _failed(self) -> tuple[Outcome, ...]:
        return tuple(one for one in self.outcomes if not one.passed)

    def _explained(self, outcome: Outcome) -> Explanation:
        return Explanation(outcome.record, outcome.covering, self.declared, hypothetical=True)

    def show(self) -> None:
        """Prints what failed, and a summary."""
        failed = self._failed()
        for outcome in failed:
            say(f"{painted('FAIL', 'red')} {painted(printable(str(outcome.trial.found.place())), 'bold')}")
            for line in self._lines(outcome):
                say(f"  {line}")
        for kept in self._broken():
            say(f"{painted('BROKEN', 'red')} {painted(printable(str(kept.found.place())), 'bold')}")
            for line in broken_lines(kept):
                say(f"  {line}")
        bad, good = self._counts()
        told = [f"{bad} failed"] if bad else []
        summary = ", ".join([*told, f"{good} passed"])
        say(f"{painted(summary, 'red' if bad else 'green')} in {self.seconds:.1f} s: revision {self.revision}")

    def _counts(self) -> tuple[int, int]:
        """How many cases and invariants failed, and how many passed."""
        bad = len(self._failed()) + len(self._broken())
        return bad, len(self.outcomes) + len(self.invariants) - bad

    def _lines(self, outcome: Outcome) -> Iterator[str]:
        """Of a case that failed: what was expected, what happened, and the decision as `explain` tells it."""
        yield f"expected: {expected(outcome.trial.found.case)}"
        for mismatch in outcome.mismatches:
            yield f"happened: {printable(mismatch)}"
        for line in self._explained(outcome).lines():
            yield from (f"  {one}" for one in line.splitlines())

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "revision": self.revision or None,
            "passed": self._counts()[1],
            "failed": self._counts()[0],
            "seconds": round(self.seconds, 3),
            "cases": [self._told(one) for one in self.outcomes],
            "invariants": list(map(broken_told, self.invariants)),
            "problems": [one.to_json() for one in self.problems],
        }

    def _told(self, outcome: Outcome) -> dict[str, Any]:
        """A case; with the whole explanation if it failed."""
        return {**case_told(outcome), "explanation": None if outcome.passed else self._explained(outcome).told()}

    def junit(self) -> bytes:
        """As JUnit XML: a suite for each file. A problem is an error of the file that it stands in."""
        root = Xml.Element("testsuites", name="bartizan test", time=f"{self.seconds:.3f}")
        files: dict[str, tuple[list[Outcome], list[Kept]]] = defaultdict(lambda: ([], []))
        for outcome in self.outcomes:
            files[outcome.trial.found.file][0].append(outcome)
        for kept in self.invariants:
            files[kept.found.file][1].append(kept)
        for file, (outcomes, invariants) in files.items():
            self._suite(root, file, outcomes, invariants)
        wrong: dict[str, list[Problem]] = defaultdict(list)
        for problem in self.problems:
            wrong[problem.at.file].append(problem)
        for file, problems in wrong.items():
            suite = Xml.SubElement(root, "testsuite", name=_xml(file), tests=str(len(problems)), failures="0", errors=str(len(problems)))
            for problem in problems:
                case = Xml.SubElement(suite, "testcase", classname=_xml(file), name=_xml(str(problem.at)))
                Xml.SubElement(case, "error", type=problem.code, message=_xml(problem.message)).text = _xml(problem.hint)
        Xml.indent(root)
        return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"

    def _suite(self, root: Xml.Element, file: str, outcomes: Sequence[Outcome], invariants: Sequence[Kept]) -> None:
        failures = sum(not one.passed for one in outcomes) + sum(not one.passed for one in invariants)
        tests = len(outcomes) + len(invariants)
        suite = Xml.SubElement(root, "testsuite", name=_xml(file), tests=str(tests), failures=str(failures), errors="0")
        for outcome in outcomes:
            found = outcome.trial.found
            case = Xml.SubElement(suite, "testcase", classname=_xml(file), name=_xml(found.case.name), line=str(found.place().line))
            if not outcome.passed:
                message = f"expected: {expected(found.case)}; happened: {'; '.join(outcome.mismatches)}"
                text = _COLOUR.sub("", "\n".join(self._lines(outcome)))
                Xml.SubElement(case, "failure", type="mismatch", message=_xml(message)).text = _xml(text)
        for kept in invariants:
            case = Xml.SubElement(suite, "testcase", classname=_xml(file), name=_xml(kept.found.name), line=str(kept.found.place().line))
            if not kept.passed:
                told = [_COLOUR.sub("", line) for line in broken_lines(kept)]
                Xml.SubElement(case, "failure", type="invariant", message=_xml(told[0])).text = _xml("\n".join(told))


def _xml(text: str) -> str:
    """The text with what XML can't carry written out."""
    return _NO_XML.sub(lambda match: ascii(match[0])[1:-1], text)
