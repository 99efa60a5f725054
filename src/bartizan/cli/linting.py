"""What `bartizan lint` tells: all that is no good any more in the files, held against the records and what is in the state."""

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bartizan.cli.compiled import compiled
from bartizan.cli.kept import opened, signatures
from bartizan.cli.output import complain, painted, printable, say, show_json, show_problems
from bartizan.compile import Compiled
from bartizan.compile.covering import covering
from bartizan.errors import BartizanError
from bartizan.identity import expiring
from bartizan.identity.brake import Brakes
from bartizan.identity.keys import KeyStore
from bartizan.identity.operators import Operators
from bartizan.meaning import wide
from bartizan.meaning.dead import idle, problem_of
from bartizan.model.covering import Covering
from bartizan.model.problem import Problem
from bartizan.policies import PolicyKind
from bartizan.policies.ip_access import IpAccess
from bartizan.replay import Records, Window
from bartizan.secrets.keyring import has_key, load_or_create
from bartizan.telemetry.last_use import used
from bartizan.telemetry.met import Met

_MOST_ENTRIES = 20


@dataclass(slots=True)
class Found:
    """What was found, and what couldn't be looked at."""

    revision: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    requests: int = 0
    """Recorded ones that were asked."""


def lint(read: argparse.Namespace) -> int:
    """Looks, and tells. Exit status 1 if the files have problems, or with `--strict` if anything is found."""
    last, within = timedelta(seconds=read.last), timedelta(seconds=read.within)
    if not read.files.exists():
        complain(f"{read.files} doesn't exist")
        return 1
    made = compiled(read.files)
    if not isinstance(made, Compiled):
        show_problems(made)
        return 1
    found = Found(made.snapshot.revision)
    now = datetime.now(UTC)
    found.problems += [problem_of(made, one) for one in idle(made)]
    found.problems += wide.wide(made.snapshot)
    found.problems += wide.expiring(made.snapshot, now, within)
    _by_records(found, made, read.state / "records", Window(now - last))
    soon = expiring.Soon(now.timestamp(), (now + within).timestamp())
    found.problems += expiring.consumers(made.snapshot, soon)
    _by_state(found, made, read, soon)
    found.problems.sort()
    if read.json:
        show_json(_as_json(found))
    else:
        _show(found)
    return 1 if read.strict and found.problems else 0


def _by_records(found: Found, made: Compiled, folder: Path, window: Window) -> None:
    """Rules that no recorded request met."""

    def covers(api: str, route: str, method: str) -> tuple[Covering, ...]:
        return tuple(one for _, one in covering(made, api, route, method))

    met = Met(covers)
    with Records.folder(folder, window) as records:
        met.count(records.read())
    found.requests = met.requests
    if not met.requests:
        found.notes.append(f"There are no records of this time in {folder}, so it can't be told which rules are never met.")
        return
    for policy in made.snapshot.policies:
        if isinstance(policy, PolicyKind) and policy.mode != "disabled" and not policy.of_listener:
            found.problems += _of_policy(made, policy, met)


def _of_policy(made: Compiled, policy: PolicyKind, met: Met) -> Iterator[Problem]:
    held = made.snapshot.resource(policy)
    if not met.asked[policy.id]:
        told = f"none of {met.requests} recorded requests came to it"
        yield Problem(held.place(), "rule-never-met", told, "Is anything still called there? If not, take it out.")
    elif not met.passed[policy.id]:
        told = f"it let none of the {met.asked[policy.id]} recorded requests through that it was asked about"
        yield Problem(held.place(), "rule-never-matched", told, "If that is meant, nobody needs the route; if not, mend the rule.")
    elif isinstance(policy, IpAccess):
        yield from _of_networks(made, policy, met)


def _of_networks(made: Compiled, policy: IpAccess, met: Met) -> Iterator[Problem]:
    for name, networks in (("allow", policy.allow), ("deny", policy.deny)):
        if isinstance(networks, tuple):
            unseen = set(met.unseen(networks))
            told = [place for place, text in enumerate(networks) if text in unseen]
            for place in told[:_MOST_ENTRIES]:
                at = made.snapshot.resource(policy).place((name, place))
                text = f"none of {met.requests} recorded requests came from {networks[place]}"
                yield Problem(at, "entry-never-matched", text, "Take it out if nobody is there any more.")
            if len(told) > _MOST_ENTRIES:
                at = made.snapshot.resource(policy).place((name,))
                yield Problem(at, "entry-never-matched", f"nor from {len(told) - _MOST_ENTRIES} more of these networks", "")


def _by_state(found: Found, made: Compiled, read: argparse.Namespace, soon: expiring.Soon) -> None:
    """What ends soon, in the files and in the state."""
    base = read.files if read.files.is_dir() else read.files.parent
    found.problems += expiring.certificates(made.snapshot, base, soon)
    if not has_key(read.state / "control.key"):
        found.notes.append(f"There is no gateway's state in {read.state}, so keys, tokens and blocks aren't looked at.")
        return
    envelope = load_or_create(read.state / "control.key")
    if (read.state / "keys.journal").exists():
        store = KeyStore(read.state / "keys.journal", envelope)
        found.problems += expiring.keys(store.records(), soon)
        found.problems += expiring.unused(store.live(soon.now), used(read.state), soon.now - read.unused)
        store.close()
    if (read.state / "brakes.journal").exists():
        brakes = Brakes(read.state / "brakes.journal", envelope)
        found.problems += expiring.blocks(brakes.held(time.time()), soon)
        brakes.close()
    found.problems += _tokens(found, read, soon)


def _tokens(found: Found, read: argparse.Namespace, soon: expiring.Soon) -> Iterable[Problem]:
    try:
        with opened(read) as store:
            seal = signatures(read)
            return list(expiring.tokens(Operators(store, seal).all(), soon)) if seal is not None else []
    except BartizanError as error:
        found.notes.append(f"Operators' tokens aren't looked at: {error.message}")
        return []


def _as_json(found: Found) -> dict[str, object]:
    return {
        "revision": found.revision,
        "requests": found.requests,
        "findings": [one.to_json() for one in found.problems],
        "notes": found.notes,
    }


def _show(found: Found) -> None:
    for one in found.problems:
        where = str(one.at) if one.at.line else f"{one.at.file} {one.at.path}"
        say(f"{painted(printable(where), 'bold')}: {printable(one.message)} {painted(f'[{one.code}]', 'dim')}")
        if one.hint:
            say(f"    {printable(one.hint)}")
    for note in found.notes:
        say(painted(note, "yellow"))
    count = len(found.problems)
    told = f"{count} finding{'' if count == 1 else 's'}" if count else "nothing found"
    say(f"{painted(told, 'yellow' if count else 'green')}: revision {found.revision}, held against {found.requests} recorded requests")
