"""Context in the control plane: taken, kept, told to tables and filters, and asked about."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bartizan.compile.read import assemble, read
from bartizan.errors import Invalid, NotFound
from bartizan.identity.named import NamedSecrets
from bartizan.model.snapshot import Snapshot
from bartizan.plane.contexts import Contexts
from bartizan.secrets.keyring import load_or_create

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:0"}]
attributes: {plan: string, on_call: bool}
---
{kind: Consumer, name: acme}
"""
SOURCE = "---\n{kind: ContextSource, name: hr, attributes: [on_call], push: true%s}\n"


def declared(more: str = SOURCE % "") -> Snapshot:
    found = assemble([read(FRAME + more, "a.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


class Rig:
    """Contexts, and of whom tables were to tell anew."""

    def __init__(self, state: Path) -> None:
        self.retold: list[frozenset[str]] = []
        envelope = load_or_create(state / "control.key")
        self.contexts = Contexts(state, state, envelope, NamedSecrets(state / "secrets.journal", envelope), self.retold.append)


def fine() -> None:
    """Nothing to look at."""


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path)
    made.contexts.declare((), declared())
    return made


async def test_what_is_pushed_is_kept_and_told(rig: Rig, tmp_path: Path) -> None:
    told = await rig.contexts.push_all("hr", {"acme": {"on_call": True}, "stranger": {"on_call": None}}, fine)
    assert rig.retold == [frozenset({"acme", "stranger"})]
    assert (told["subjects"], told["unknown_first"], told["counts"], told["error"], told["way"]) == (2, ["stranger"], True, "", "push")
    one = await rig.contexts.push_one("hr", "acme", {"on_call": False})
    assert (one["attributes"], one["known"], one["counts"]) == ({"on_call": False}, True, True)
    again = Rig(tmp_path)
    again.contexts.declare((), declared())
    assert again.contexts.one("hr", "acme")["attributes"] == {"on_call": False}
    assert [one["subject"] for one in again.contexts.some("hr", "", 1)[0]] == ["acme"] and again.contexts.some("hr", "acme", 1)[1] is False
    gone = await again.contexts.push_one("hr", "acme", None)
    assert gone["attributes"] == {"on_call": False}
    for asked in (lambda: again.contexts.one("hr", "acme"), lambda: again.contexts.told("other"), lambda: again.contexts.etag("other")):
        with pytest.raises(NotFound):
            asked()


async def test_what_changed_meanwhile_isn_t_overwritten(rig: Rig) -> None:
    def changed() -> None:
        raise Invalid("It has changed.")

    with pytest.raises(Invalid, match="changed"):
        await rig.contexts.push_all("hr", {"acme": {"on_call": True}}, changed)
    assert rig.contexts.told("hr")["subjects"] == 0 and rig.retold == []


async def test_a_source_that_is_fetched_can_t_be_told(rig: Rig) -> None:
    rig.contexts.declare((), declared("---\n{kind: ContextSource, name: hr, attributes: [on_call], file: a.json}\n"))
    with pytest.raises(Invalid, match="push: true"):
        await rig.contexts.push_one("hr", "acme", {"on_call": True})


async def test_an_etag_tells_of_values_and_not_of_ages(rig: Rig) -> None:
    said: dict[str, Any] = {"acme": {"on_call": True}}
    first = (await rig.contexts.push_all("hr", said, fine))["etag"]
    assert (await rig.contexts.push_all("hr", said, fine))["etag"] == first == rig.contexts.etag("hr")
    one = rig.contexts.subject_tag("hr", "acme")
    assert (await rig.contexts.push_one("hr", "acme", {"on_call": True}))["etag"] == one
    assert (await rig.contexts.push_one("hr", "acme", {"on_call": False}))["etag"] != one
    assert rig.contexts.etag("hr") != first and rig.contexts.subject_tag("hr", "other") is None


def test_what_is_served_says_which_sources_there_are(rig: Rig) -> None:
    files, served, coming = declared(""), declared(), declared(SOURCE % ", max_age: 1h")
    assert rig.contexts.declare((served, coming), files) is False, "what is served counts, and is what was there"
    assert list(rig.contexts.fields(files)) == ["plan", "on_call", "@hr"]
    assert rig.contexts.declare((coming, served), files) is True
    assert rig.contexts.source("hr").max_age.total_seconds() == 3600
    assert rig.contexts.declare((files,), files) is True and rig.contexts.all() == []


async def test_an_attribute_that_goes_to_another_source_is_told_by_that_one_alone(rig: Rig) -> None:
    """Else what the one said would count by the age of the other."""
    before, after = declared(), declared((SOURCE % "").replace("hr", "mdm"))
    await rig.contexts.push_all("hr", {"acme": {"on_call": True}}, fine)
    assert rig.contexts.declare((after, before), after)
    await rig.contexts.push_all("mdm", {"acme": {}}, fine)
    assert set(rig.contexts.context.of("acme")) == {"@hr", "@mdm"} and rig.contexts.context.fresh("acme") == {}
    assert rig.contexts.declare((before, after), after)
    assert rig.contexts.context.fresh("acme") == {"on_call": True}


@pytest.mark.parametrize("told", ["it has said nothing yet", "counts no more"])
async def test_what_needs_attention_is_told(rig: Rig, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if told == "counts no more":
        await rig.contexts.push_all("hr", {"acme": {"on_call": True}}, fine)
        now: Callable[[], float] = rig.contexts.context._now
        monkeypatch.setattr(rig.contexts.context, "_now", lambda: now() + 301)
        rig.contexts.look()
        assert rig.retold[-1] == frozenset() and not rig.contexts.told("hr")["counts"]
    assert [told in one for one in rig.contexts.warnings()] == [True]
