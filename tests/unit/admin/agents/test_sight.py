"""What a team's agent sees: its things, and nothing that tells of others."""

from typing import Any

import orjson
import pytest

from bartizan.admin.agents.sight import HIDDEN, Sight, own_in, teams_in
from bartizan.compile.read import assemble, read
from bartizan.errors import NotFound
from bartizan.model.snapshot import LIVE_KINDS, Snapshot
from bartizan.store import Content

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
teams: {orders: {paths: [/orders]}, billing: {paths: [/bills]}}
---
{kind: Api, name: orders, team: orders, paths: [/orders], upstream: "http://192.0.2.1"}
---
{kind: Api, name: bills, team: billing, paths: [/bills], upstream: "http://192.0.2.1"}
---
{kind: Public, name: all, reason: for tests alone}
---
{kind: Public, name: mine, target: {api: orders}, reason: for tests alone}
---
{kind: IpAccess, name: floor, target: {api: orders}, floor: true, deny: [192.0.2.9]}
---
{kind: IpAccess, name: theirs, target: {api: bills}, deny: [192.0.2.9]}
---
{kind: Consumer, name: acme}
"""
OWN = {("Api", "orders"), ("Public", "mine")}


def snapshot(text: str = FILES) -> Snapshot:
    found = assemble([read(text, "a.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


class Kept:
    """Revisions by their names, as the store gives them."""

    def __init__(self, **texts: str) -> None:
        self.asked = 0
        self._kept = {name: snapshot(text) for name, text in texts.items()}

    def find(self, text: str) -> str:
        self.asked += 1
        if text not in self._kept:
            raise NotFound("none")
        return text

    def content(self, name: str) -> Content:
        found = self._kept[name].resources.items()
        return Content(name, {key: orjson.dumps(one.document.value) for key, one in found if one.kind not in LIVE_KINDS})


def sight(team: str | None, revisions: Any = None) -> Sight:
    return Sight(team, snapshot(), revisions)


def test_a_team_sees_its_apis_and_what_is_on_these_alone() -> None:
    seen = sight("orders")
    assert {one.key for one in seen.resources()} == OWN
    for key in snapshot().resources.keys() - OWN:
        with pytest.raises(NotFound):
            seen.resource(key)
        assert not seen.policy("/".join(key))
    assert seen.policy("Public/mine") and not seen.policy("Public/never")
    assert {one.key for one in sight(None).resources()} == snapshot().resources.keys()
    assert sight(None).policy("Protect/default")


def test_a_request_is_seen_if_its_api_is_the_teams_and_was_then() -> None:
    before = FILES.replace("name: orders, team: orders, paths: [/orders]", "name: orders, team: billing, paths: [/bills/o]")
    kept = Kept(a=FILES, b=before)
    seen = sight("orders", kept)
    assert seen.record({"api": "orders", "revision": "a"})
    for record in (
        {"api": "orders", "revision": "b"},
        {"api": "orders", "revision": "c"},
        {"api": "orders"},
        {"api": "bills", "revision": "a"},
        {"api": "", "revision": "a"},
        {"revision": "a"},
        {"api": ["orders"], "revision": "a"},
    ):
        assert not seen.record(record), record
    assert not sight("nobody", kept).record({"api": "orders", "revision": "a"})
    assert sight(None, kept).record({})


def test_revisions_that_are_looked_up_are_few() -> None:
    kept = Kept(a=FILES)
    seen = sight("orders", kept)
    for number in range(200):
        assert not seen.record({"api": "orders", "revision": str(number)})
    assert kept.asked == 50
    assert not seen.record({"api": "orders", "revision": "a"})


def test_a_sentence_that_names_others_isnt_told() -> None:
    told = sight("orders").told
    for sentence in ("one of IpAccess/floor, x", "the API 'bills' answers there", "theirs refuses it"):
        assert told(sentence) == f"It has to do with {HIDDEN}."
        assert sight(None).told(sentence) == sentence
    for sentence in ("Public/mine applies", "the flooring, billsome", "bills-x"):
        assert told(sentence) == sentence


def test_of_a_kept_revision_the_same_is_the_teams() -> None:
    content = Kept(a=FILES).content("a").resources
    assert teams_in(content) == {"orders": "orders", "bills": "billing"}
    assert own_in(content, "orders").keys() == OWN
    assert own_in(content, "nobody") == {}
