"""What telling the meaning of an edit costs, and whether a real Envoy agrees: ten thousand consumers, a thousand routes."""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bartizan.compile import Compiled, compile
from bartizan.meaning import Access, Asked, Point, Verdict, Where, World, difference, people_of
from bartizan.meaning.people import KEY, Person
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.folder import Folder
from bartizan.scratch import Principal, Question, Scratch, Token

Figures = dict[str, float]
PLANS, DEPARTMENTS = ("free", "silver", "gold", "platinum"), ("finance", "sales", "support", "research")
METHODS = ("GET", "POST", "DELETE", "PROPFIND")
_AT_ONCE = 32
_GATEWAY = """kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:0"}]
attributes: {plan: string, department: string, level: number, trusted: bool}
---
kind: Issuer
name: corp
issuer: https://idp.bench.invalid
audiences: [bench]
jwks: {keys: []}
attributes: {department: department}
---
kind: Authenticate
name: callers
any: [api_key, {jwt: corp}]
---
kind: RateLimit
name: by-plan
per: principal.id
tiers: [{when: principal.plan == "gold", windows: [100/second]}, {windows: [10/second]}]
---
"""


def _api(number: int, edited: bool) -> str:
    """An API with policies of its own, no two alike. The edit changes every tenth."""
    shift = 1 if edited and number % 10 == 0 else 0
    kinds = (
        f"principal.level >= {number % 97 + shift}",
        f'principal.department in ["{DEPARTMENTS[number % 4]}", "{DEPARTMENTS[(number // 4 + shift) % 4]}"]',
        f'"team-{(number + shift) % 50}" in principal.groups || principal.plan == "platinum"',
        f'principal.id != "consumer-{number * 7 + shift:05}" && principal.plan != "free"',
        f"principal.trusted && size(principal.id) > {3 + shift}",
        f'now.between("0{number % 8}:00", "{18 + shift}:00", "Europe/Berlin") || principal.level > {number % 50}',
    )
    allow = kinds[number % len(kinds)]
    return f"""kind: Api
name: api-{number:04}
paths: [/api-{number:04}]
upstream: http://127.0.0.1:9101
---
kind: Authorize
name: own-{number:04}
target: {{api: api-{number:04}}}
allow: '{allow}'
---
kind: Authorize
name: writers-{number:04}
target: {{api: api-{number:04}, methods: [POST, DELETE]}}
allow: 'principal.level > {number % 60} && principal.department != "{DEPARTMENTS[number % 4]}"'
"""


def _consumer(number: int) -> str:
    chance = random.Random(number)
    groups = ", ".join(f"team-{one}" for one in chance.sample(range(50), 2))
    trusted = f", trusted: {str(chance.random() < 0.5).lower()}" if chance.random() < 0.8 else ""
    attributes = f"plan: {chance.choice(PLANS)}, department: {chance.choice(DEPARTMENTS)}, level: {chance.randrange(100)}{trusted}"
    return f"kind: Consumer\nname: consumer-{number:05}\nattributes: {{{attributes}}}\ngroups: [{groups}]\n"


def _write(folder: Path, edited: bool, apis: int, consumers: int) -> None:
    folder.mkdir(parents=True)
    everywhere = "kind: Authorize\nname: known-plans\ntarget: {methods: [DELETE]}\nallow: principal.plan != 'free'\n"
    (folder / "gateway.yaml").write_text(_GATEWAY + (everywhere if edited else "kind: Protect\nname: as-is\n"))
    for first in range(0, apis, 100):
        texts = [_api(number, edited) for number in range(first, min(first + 100, apis))]
        (folder / f"apis-{first:04}.yaml").write_text("---\n".join(texts))
    for first in range(0, consumers, 500):
        texts = [_consumer(number) for number in range(first, min(first + 500, consumers))]
        (folder / f"consumers-{first:05}.yaml").write_text("---\n".join(texts))


def _snapshot(folder: Path) -> Snapshot:
    found = Folder(folder).snapshot()
    assert isinstance(found, Snapshot), found
    return found


@dataclass(frozen=True, slots=True)
class Edit:
    """Files before and after an edit, read."""

    before: Snapshot
    after: Snapshot


def edit(folder: Path, apis: int = 1000, consumers: int = 10_000) -> Edit:
    """Writes and reads them."""
    for name in ("before", "after"):
        _write(folder / name, name == "after", apis, consumers)
    return Edit(_snapshot(folder / "before"), _snapshot(folder / "after"))


def semantic_diff(found: Edit) -> Figures:
    """From two snapshots to the meaning of the edit, both compiled on the way."""
    began = time.perf_counter()
    before, after = compile(found.before), compile(found.after)
    compiled = time.perf_counter()
    meaning = difference(before, after)
    done = time.perf_counter()
    assert not before.problems and not after.problems and len(meaning.access) > 100
    return {"semantic_diff_s": done - began, "semantic_diff_compile_s": compiled - began, "semantic_diff_alone_s": done - compiled}


@dataclass(slots=True)
class _Told:
    """What is told of one side."""

    compiled: Compiled
    access: Access
    asked: Asked

    def verdict(self, place: int, point: Point, method: str) -> Verdict:
        found = self.asked.verdicts(self.access.route(point, method), Where(method, point.path))
        return next(verdict for verdict, held in found.items() if held >> place & 1)


def diff_wrong(found: Edit, count: int) -> Figures:
    """Triples of which both sides are told, asked of both in a real Envoy: how many it answers otherwise."""
    people = people_of((found.before, found.after))
    sides = []
    for snapshot in (found.before, found.after):
        made = compile(snapshot)
        sides.append(_Told(made, Access(made), Asked(World(snapshot, people))))
    left, right = sides
    chance = random.Random(5)
    points = list(left.access.points())
    drawn = left_open = changed = 0
    triples: list[tuple[int, Point, str, bool, bool]] = []
    while len(triples) < count:
        drawn += 1
        place, point, method = chance.randrange(len(people.all)), chance.choice(points), chance.choice(METHODS)
        was, will = left.verdict(place, point, method), right.verdict(place, point, method)
        if was.open or will.open:
            left_open += 1
            continue
        changed += was.allowed != will.allowed
        triples.append((place, point, method, was.allowed, will.allowed))
    began = time.perf_counter()
    wrong = asyncio.run(_wrong(found.before, people.all, [(*one[:3], one[3]) for one in triples]))
    wrong |= asyncio.run(_wrong(found.after, people.all, [(*one[:3], one[4]) for one in triples]))
    return {
        "diff_wrong": len(wrong),
        "diff_triples": len(triples),
        "diff_triples_changed": changed,
        "diff_open_share": left_open / drawn,
        "diff_asked_per_s": 2 * len(triples) / (time.perf_counter() - began),
    }


async def _wrong(snapshot: Snapshot, people: tuple[Person, ...], triples: list[tuple[int, Point, str, bool]]) -> set[int]:
    """The places of those triples that Envoy answers otherwise."""
    wrong: set[int] = set()
    async with Scratch(snapshot, connections=_AT_ONCE) as scratch:
        todo = iter(enumerate(triples))

        async def some() -> None:
            for number, (place, point, method, allowed) in todo:
                question = Question(method, f"{point.path}/items/1", principal=_principal(people[place], scratch))
                record = await scratch.record(question)
                if (record["details"] == "via_upstream") != allowed:
                    wrong.add(number)

        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
    return wrong


def _principal(person: Person, scratch: Scratch) -> Principal | None:
    if person.sort == "consumer" and person.by == KEY:
        return scratch.consumer(person.name)
    return Token(person.name, "someone", {"department": "finance"}) if person.sort == "token" else None


def measured(folder: Path, quick: bool) -> Iterator[Figures]:
    """Both. `quick`: a tenth of the triples."""
    found = edit(folder / "meaning")
    yield semantic_diff(found)
    yield diff_wrong(found, 10_000 if quick else 100_000)
