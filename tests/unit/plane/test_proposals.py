"""A proposal is judged when it is made and when it is applied, and by whom."""

from pathlib import Path

import orjson
import pytest

from bartizan.errors import Conflict, Forbidden, Invalid, NotFound
from bartizan.plane.operations import Operations
from bartizan.rollout.asking import By
from tests.unit.plane.test_desk import Rig, rig
from tests.unit.plane.test_operations import documents, operations

__all__ = ["rig"]
BOB = By("bob", "longer", "192.0.2.1", team="orders")


@pytest.fixture
async def made(rig: Rig, tmp_path: Path) -> Operations:
    return await operations(rig, tmp_path)


async def test_it_changes_nothing_until_another_person_applies_it(made: Operations, rig: Rig) -> None:
    before = await made.newest()
    one = await made.proposals.make(documents(timeout="9s"), BOB)
    assert (await made.newest()).revision == before.revision == one.draft.base
    with pytest.raises(Forbidden, match="second person"):
        await made.proposals.apply(one, By("bob"), before.revision)
    with pytest.raises(Conflict):
        await made.proposals.apply(one, By("ann"), "0" * 16)
    commit = await made.proposals.apply(one, By("ann"), before.revision)
    assert (commit.author, commit.message) == ("ann", f"longer ({one.id}, proposed by bob)")
    assert rig.desk.rollout is not None and rig.desk.rollout.also == ("bob",)
    assert await made.proposals.all(None) == ()


async def test_who_proposed_it_stays_among_those_who_dont_approve(made: Operations, rig: Rig) -> None:
    one = await made.proposals.make(documents(timeout="9s"), By("bob"))
    await made.proposals.apply(one, By("ann", "m" * 200), (await made.newest()).revision)
    assert rig.desk.rollout is not None and rig.desk.rollout.also == ("bob",)
    commit = made.store.revisions.head()
    assert commit is not None and commit.message.endswith(f"({one.id}, proposed by bob)") and len(commit.message) == 200


async def test_what_is_wrong_or_nothing_isnt_kept(made: Operations) -> None:
    with pytest.raises(Invalid, match="nothing"):
        await made.proposals.make(documents(), BOB)
    with pytest.raises(Invalid):
        await made.proposals.make(documents(timeout="soon"), BOB)
    with pytest.raises(Forbidden):
        await made.proposals.make({("Public", "all"): None}, BOB)
    assert await made.proposals.all(None) == ()


async def test_another_team_doesnt_see_it(made: Operations) -> None:
    one = await made.proposals.make(documents(timeout="9s"), BOB)
    assert await made.proposals.one(one.id, None) == await made.proposals.one(one.id, "orders")
    assert await made.proposals.all("billing") == ()
    with pytest.raises(NotFound):
        await made.proposals.one(one.id, "billing")


async def test_what_it_touches_must_be_as_it_was(made: Operations, rig: Rig) -> None:
    one = await made.proposals.make(documents(timeout="9s"), BOB)
    assert await made.proposals.stale(one) == (one.draft.base, [])
    await made.change(documents(timeout="8s"), By("eve"), None)
    await rig.served()
    newest, stale = await made.proposals.stale(one)
    assert (newest, stale) == ((await made.newest()).revision, ["Api/orders"])
    with pytest.raises(Conflict, match="Api/orders"):
        await made.proposals.apply(one, By("ann"), newest)


async def test_it_stays_within_its_authors_team_whoever_applies_it(made: Operations, rig: Rig) -> None:
    public = orjson.dumps({"kind": "Public", "name": "mine", "target": {"api": "orders"}, "reason": "for tests of teams"})
    one = await made.proposals.make({("Public", "mine"): public}, BOB)
    moved = documents(team="billing", paths=["/bills"])
    await made.change(moved, By("ann"), None)
    await rig.served()
    with pytest.raises(Forbidden):
        await made.proposals.apply(one, By("ann"), (await made.newest()).revision)
