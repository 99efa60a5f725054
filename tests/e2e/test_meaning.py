"""What is told of who may call what is what the real Envoy does: sampled over generated gateways, and `bartizan diff` as people run it."""

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bartizan.meaning import Access, Asked, Verdict, Where, World, people_of
from bartizan.scratch import Scratch
from tests.e2e.gateway import gateway, upstream
from tests.e2e.meaning_maker import Maker, asks, principal_of, spots
from tests.e2e.test_cases import RESOURCES

SEEDS, EACH = range(32), 100
SEEDS_ODD = (124, 170, 201)
"""Gateways that once were told wrongly: bytes in patterns, and methods that aren't any."""


@dataclass
class Tally:
    """What came of a sample."""

    asked: int = 0
    open: int = 0
    allowed: int = 0
    refused: int = 0


async def _sampled(seed: int, tally: Tally) -> list[str]:
    """Triples of one gateway; returns those that Envoy answers otherwise."""
    maker, wrong = Maker(seed), []
    made = maker.compiled()
    access, world = Access(made), World(made.snapshot, people_of((made.snapshot,)))
    asked, where = Asked(world), spots(access)
    async with Scratch(made.snapshot) as scratch:
        for _ in range(EACH):
            place = maker.random.randrange(len(world.people.all))
            point, method = maker.pick(where)
            verdict = _verdict(asked, access, place, Where(method, point.path), point)
            tally.asked += 1
            tally.open += bool(verdict.open)
            if verdict.open:
                continue
            question = asks(maker, point, method, principal_of(world.people.all[place], scratch, maker))
            record = await scratch.record(question)
            let_through = record["details"] == "via_upstream"
            tally.allowed += let_through
            tally.refused += not let_through
            if let_through != verdict.allowed:
                wrong.append(
                    f"seed {seed}: {world.people.all[place]} {question.method} {question.host}{question.path}: {verdict}, {record}"
                )
    return wrong


def _verdict(asked: Asked, access: Access, place: int, where: Where, point: object) -> Verdict:
    found = asked.verdicts(access.route(point, where.method), where)  # type: ignore[arg-type]
    (verdict,) = [verdict for verdict, held in found.items() if held >> place & 1]  # each person is told once
    return verdict


async def test_envoy_does_what_is_told() -> None:
    tally = Tally()
    wrong = [one for seed in (*SEEDS, *SEEDS_ODD) for one in await _sampled(seed, tally)]
    assert not wrong, "\n".join(wrong)
    assert tally.asked >= 3000
    # Neither is all left open, nor all refused.
    assert tally.open <= 0.25 * tally.asked, tally
    assert tally.allowed >= 0.1 * tally.asked and tally.refused >= 0.1 * tally.asked, tally
    assert tally.open >= 0.02 * tally.asked, tally


def bartizan(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bartizan.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "old", tmp_path / "new"
    for folder in found:
        folder.mkdir()
        (folder / "all.yaml").write_text(RESOURCES)
    return found


def _edit(folder: Path, old: str, new: str) -> None:
    text = (folder / "all.yaml").read_text()
    assert old in text
    (folder / "all.yaml").write_text(text.replace(old, new))


def _told(old: Path, new: Path, status: int = 2) -> dict[str, object]:
    done = bartizan("diff", "--from", old, new, "--json")
    assert done.returncode == status, done.stderr + done.stdout
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_who_gains_and_who_loses_is_told(folders: tuple[Path, Path]) -> None:
    old, new = folders
    _edit(new, 'allow: principal.department == "finance"', 'allow: principal.department == "sales"')
    meaning = _told(old, new)["meaning"]
    assert isinstance(meaning, dict) and not meaning["same"]
    (group,) = meaning["access"]
    place = {"api": "orders", "host": "*", "path": "/orders/refunds", "methods": ["POST"], "status": "kept"}
    assert group["places"] == [place]
    assert [(one["what"], one["who"]["names"], one["who"]["tokens_of"]) for one in group["changes"]] == [
        ("loses", ["acme"], []),
        ("gains", ["globex"], []),
        ("conditions", [], ["corp"]),
    ]
    assert group["changes"][0]["after"] == {
        "kind": "refused",
        "conditions": [{"text": 'principal.department == "sales"', "policies": ["Authorize/refunds"]}],
    }
    text = bartizan("diff", "--from", old, new)
    assert text.returncode == 2 and "- loses: acme" in text.stdout and "+ gains: globex" in text.stdout


def test_the_same_files_mean_the_same(folders: tuple[Path, Path]) -> None:
    old, new = folders
    found = _told(old, new, 0)
    assert found["meaning"] == {"same": True, "access": [], "limits": [], "callers": [], "live": [], "live_limits": []}
    _edit(new, "reason: monitoring has no credentials", "reason: monitoring still has no credentials")
    assert _told(old, new)["meaning"] == found["meaning"]
    assert bartizan("diff", "--from", old, new).stdout.endswith("nobody gains or loses access, no condition and no limit changes\n")


def test_what_makes_a_route_public_is_told_of_everyone(folders: tuple[Path, Path]) -> None:
    old, new = folders
    _edit(new, "except: [/orders/health]}\nany", "except: [/orders/health, /orders/office]}\nany")
    _edit(new, "paths: [/orders/health]}", "paths: [/orders/health, /orders/office]}")
    meaning = _told(old, new)["meaning"]
    assert isinstance(meaning, dict)
    gains = [
        (place["path"], one["who"]["text"], one["after"]["conditions"][0]["policies"])
        for group in meaning["access"]
        for place in group["places"]
        for one in group["changes"]
        if one["what"] == "gains"
    ]
    # Credentials are taken off there: whoever is disabled gets in as well.
    assert gains == [("/orders/office", one, ["Authorize/office"]) for one in ("anonymous callers", "gone")]


def test_a_changed_consumer_is_told_apart_from_policies(folders: tuple[Path, Path]) -> None:
    old, new = folders
    _edit(new, "attributes: {plan: free, department: sales}", "attributes: {plan: free, department: finance}")
    meaning = _told(old, new)["meaning"]
    assert isinstance(meaning, dict) and not meaning["access"]
    assert meaning["callers"] == ["1 consumer changed: globex"]
    (group,) = meaning["live"]
    assert [(one["what"], one["who"]["names"]) for one in group["changes"]] == [("gains", ["globex"])]


async def test_what_runs_is_compared_by_what_it_means(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    _, new = folders
    with upstream() as port:
        text = RESOURCES.replace("127.0.0.1:8080", "127.0.0.1:{port}").replace("127.0.0.1:9101", f"127.0.0.1:{port}")
        async with gateway(tmp_path / "gw", {"all.yaml": text}) as gw:
            runs = (gw.folder / "files" / "all.yaml").read_text()
            (new / "all.yaml").write_text(runs)
            same = await asyncio.to_thread(bartizan, "diff", new, "--state", gw.folder / "state")
            _edit(new, 'allow: principal.department == "finance"', 'allow: principal.department == "sales"')
            done = await asyncio.to_thread(bartizan, "diff", new, "--state", gw.folder / "state", "--json")
    assert (same.returncode, same.stdout) == (0, "no difference\n"), same.stdout + same.stderr
    assert done.returncode == 2, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert found["notes"] == [] and found["changed"] == ["Authorize/refunds"] and found["loosened"]
    assert [one["what"] for group in found["meaning"]["access"] for one in group["changes"]] == ["loses", "gains", "conditions"]


def test_wrong_use_and_files_with_mistakes(folders: tuple[Path, Path]) -> None:
    old, new = folders
    assert bartizan("diff").returncode == 64
    assert bartizan("diff", "-f", new, new).returncode == 64
    (new / "bad.yaml").write_text("kind: Nonsense\nname: x\n")
    assert bartizan("diff", "--from", old, new).returncode == 1
    assert bartizan("diff", "--from", new, old).returncode == 1


def test_a_list_in_a_file_that_changes_is_told(folders: tuple[Path, Path]) -> None:
    old, new = folders
    for folder, network in zip(folders, ("192.0.2.0/24", "198.51.100.0/24"), strict=True):
        (folder / "offices.txt").write_text(f"{network}\n")
        with (folder / "all.yaml").open("a") as opened:
            opened.write(
                "---\nkind: IpAccess\nname: offices\ntarget: {api: orders, except: [/orders/health]}\nallow: {file: offices.txt}\n"
            )
    found = _told(old, new)
    assert found["changed"] == ["File/offices.txt"]
    assert isinstance(found["meaning"], dict) and {one["what"] for group in found["meaning"]["access"] for one in group["changes"]} == {
        "conditions"
    }
    assert "what this reads has changed: IpAccess/offices" in bartizan("diff", "--from", old, new).stdout


INVARIANTS = """
invariants:
  - {name: strangers stay out of refunds, never: {who: anonymous, path: /orders/refunds}}
  - name: only finance posts refunds
    only: {who: principal.department == "finance", method: POST, path: /orders/refunds}
---
invariants:
  - {name: strangers stay out, never: {who: anonymous}}
  - {name: gold reads no office pages, never: {who: principal.plan == "gold", path: /orders/office/desk, method: [GET, HEAD]}}
  - {name: nobody but operators, only: {who: '"ops" in principal.groups', path: /orders/hours}}
  - {name: no tokens of sales, never: {who: principal.method == "jwt" && principal.department == "sales", path: /orders/device}}
"""


def test_invariants_hold_or_are_shown_broken(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(RESOURCES)
    (tmp_path / "always.test.yaml").write_text(INVARIANTS)
    done = bartizan("test", "-f", tmp_path, "--json", "--junit", tmp_path / "out.xml")
    assert done.returncode == 1, done.stderr
    found = {one["name"]: one for one in json.loads(done.stdout)["invariants"]}
    assert [one["passed"] for one in found.values()] == [True, True, False, False, False, True]
    health = found["strangers stay out"]["counterexample"]
    assert (health["confirmed"], health["certain"], health["sort"], health["path"]) == (True, True, "anonymous", "/orders/health")
    office = found["gold reads no office pages"]["counterexample"]
    assert (office["confirmed"], office["certain"], office["name"], office["path"]) == (True, False, "acme", "/orders/office/desk")
    assert office["source"].startswith("198.51.100.") and office["conditions"][0]["policy"] == "Authorize/office"
    hours = found["nobody but operators"]["counterexample"]
    assert hours["confirmed"] and 8 <= datetime.fromisoformat(hours["at"]).astimezone(ZoneInfo("Europe/Berlin")).hour <= 17
    assert '<failure type="invariant"' in (tmp_path / "out.xml").read_text()
    assert bartizan("test", "-f", tmp_path, "strangers stay out of*", "only finance*").returncode == 0
    text = bartizan("test", "-f", tmp_path).stdout
    assert "4 failed" not in text and "3 failed, 3 passed" in text
    assert "an anonymous caller is let through: GET localhost/orders/health" in text


@pytest.mark.parametrize(
    ("invariant", "code"),
    [
        ("{name: x, never: {who: principal.plam == 'gold'}}", "condition-unknown-name"),
        ("{name: x, never: {who: request.path == '/a'}}", "who-not-principal"),
        ("{name: x, never: {who: 'now.hour(\"UTC\") > 7'}}", "who-not-principal"),
        ("{name: x, never: {who: anonymous, path: /ordres}}", "invariant-nowhere"),
        ("{name: x, only: {who: anyone}}", "field-value-error"),
        ("{name: x, never: {who: anonymous}, only: {who: anonymous}}", "field-value-error"),
        ("{name: x, never: {who: anonymous, paths: /orders}}", "field-extra-forbidden"),
    ],
)
def test_an_invariant_about_nothing_is_a_mistake(tmp_path: Path, invariant: str, code: str) -> None:
    (tmp_path / "all.yaml").write_text(RESOURCES)
    (tmp_path / "always.test.yaml").write_text(f"invariants: [{invariant}]\n")
    done = bartizan("test", "-f", tmp_path, "--json")
    assert done.returncode == 1
    assert [one["code"] for one in json.loads(done.stdout)["problems"]] == [code]
