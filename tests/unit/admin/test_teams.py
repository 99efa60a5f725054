"""What a change may differ in, asked for by a token of a team; and what is read with it."""

import itertools

import orjson
import pytest

from bartizan.admin.access import Caller
from bartizan.admin.teams import check_live, check_team, check_touched, check_whole, readable
from bartizan.compile.read import assemble, read
from bartizan.errors import Forbidden
from bartizan.identity.operators import Operator
from bartizan.model.snapshot import Snapshot

GATEWAY = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
teams: {orders: {paths: [/orders]}, billing: {paths: [/bills]}}
"""
# Each of these may be there, in one of its forms, or not. The first form is the team's, where one is.
CHOICES = {
    "Api/orders": [
        "team: orders\npaths: [/orders]\nupstream: http://192.0.2.1",
        "team: billing\npaths: [/bills/o]\nupstream: http://192.0.2.1",
        "paths: [/o]\nupstream: http://192.0.2.1",
    ],
    "Api/bills": [
        "team: billing\npaths: [/bills]\nupstream: http://192.0.2.2",
        "team: orders\npaths: [/orders/b]\nupstream: http://192.0.2.2",
    ],
    "IpAccess/list": [
        "target: {api: orders}\ndeny: [192.0.2.9]",
        "target: {api: bills}\ndeny: [192.0.2.9]",
        "target: {}\ndeny: [192.0.2.9]",
        "target: {api: orders}\nfloor: true\ndeny: [192.0.2.9]",
        "target: {api: orders}\ndeny: [192.0.2.8]",
    ],
}
PUBLIC = "kind: Public\nname: all\nreason: for tests of teams alone\n"


def worlds() -> dict[tuple[str, ...], Snapshot]:
    """Every combination that is in order."""
    found = {}
    for chosen in itertools.product(*(["", *forms] for forms in CHOICES.values())):
        text = GATEWAY + "---\n" + PUBLIC
        for what, form in zip(CHOICES, chosen, strict=True):
            kind, name = what.split("/")
            text += f"---\nkind: {kind}\nname: {name}\n{form}\n" if form else ""
        made = assemble([read(text, "x.yaml")], {})
        if isinstance(made, Snapshot):
            found[chosen] = made
    return found


WORLDS = worlds()


def team_of(api: str, chosen: tuple[str, ...]) -> str:
    form = chosen[list(CHOICES).index(f"Api/{api}")]
    return "orders" if "team: orders" in form else "other" if form else ""


def own(what: str, form: str, chosen: tuple[str, ...]) -> bool:
    """Whether this is the team's alone, told from the texts."""
    if not form:
        return True
    if what.startswith("Api/"):
        return "team: orders" in form
    target = form.partition("api: ")[2].partition("}")[0]
    return "floor" not in form and bool(target) and team_of(target, chosen) == "orders"


def refused(team: str | None, before: Snapshot, after: Snapshot) -> bool:
    try:
        check_team(team, before, after)
    except Forbidden as error:
        assert error.code == "not-your-teams" and "orders" in error.message
        return True
    return False


def test_from_any_state_to_any_other_the_difference_alone_decides() -> None:
    assert len(WORLDS) > 20
    seen = {True: 0, False: 0}
    for (old, before), (new, after) in itertools.product(WORLDS.items(), repeat=2):
        changed = [(what, one, two) for what, one, two in zip(CHOICES, old, new, strict=True) if one != two]
        wanted = not all(own(what, one, old) and own(what, two, new) for what, one, two in changed)
        assert refused("orders", before, after) is wanted, (old, new)
        assert not refused(None, before, after)
        seen[wanted] += 1
    assert min(seen.values()) > 30, seen


def test_the_gateway_and_live_data_are_nobodys() -> None:
    (before, *_) = WORLDS.values()
    text = GATEWAY.replace("8080", "8081") + "---\n" + PUBLIC
    gateway = assemble([read(text, "x.yaml")], {})
    consumer = assemble([read(GATEWAY + "---\n" + PUBLIC + "---\nkind: Consumer\nname: acme\n", "x.yaml")], {})
    for after in (gateway, consumer):
        assert isinstance(after, Snapshot)
        assert refused("orders", before, after) and refused("orders", after, before)
    for kind in ("Consumer", "Issuer"):
        with pytest.raises(Forbidden):
            check_live("orders", [("Api", "orders"), (kind, "x")])
        check_live(None, [(kind, "x")])
    check_live("orders", [("Api", "orders")])
    with pytest.raises(Forbidden):
        check_whole("orders", "a block")
    check_whole(None, "a block")


def test_files_are_judged_by_every_policy_that_names_them() -> None:
    def world(one: str, *, floor: bool = False) -> Snapshot:
        text = GATEWAY + "---\n" + PUBLIC
        for name, path, team in (("orders", "/orders", "orders"), ("bills", "/bills", "billing")):
            text += f"---\nkind: Api\nname: {name}\nteam: {team}\npaths: [{path}]\nupstream: http://192.0.2.1\n"
        text += "---\nkind: IpAccess\nname: mine\ntarget: {api: orders}\nallow: {file: a.txt}\n"
        text += "---\nkind: IpAccess\nname: theirs\ntarget: {api: bills}\nallow: {file: a.txt}\n" if floor else ""
        found = assemble([read(text, "x.yaml")], {"a.txt": one.encode()})
        assert isinstance(found, Snapshot), found
        return found

    assert not refused("orders", world("192.0.2.0/24\n"), world("0.0.0.0/0\n"))
    assert refused("orders", world("192.0.2.0/24\n", floor=True), world("0.0.0.0/0\n", floor=True))


def test_of_a_change_that_cant_be_made_what_it_touches_decides() -> None:
    before = next(one for chosen, one in WORLDS.items() if "team: billing" in chosen[1] and "team: orders" in chosen[0])
    same = orjson.dumps(before.resources["Api", "bills"].document.value)
    check_touched("orders", before, {("Api", "bills"): same, ("Api", "orders"): None, ("Api", "new"): b"{}"})
    for body in (None, b'{"kind": "Api"}'):
        with pytest.raises(Forbidden):
            check_touched("orders", before, {("Api", "bills"): body})
        check_touched(None, before, {("Api", "bills"): body})


def test_what_others_name_is_hidden_and_nothing_else() -> None:
    document = {
        "team": "billing",
        "upstream": {
            "endpoints": [{"url": "https://b.example"}],
            "tls": {"ca": "a.pem", "certificate": "c.pem", "private_key": {"file": "k"}},
        },
        "credentials": [{"api_key": {"env": "KEY"}}, {"certificate": {"ca": "partners", "san": "spiffe://a"}}],
    }

    def caller(team: str | None) -> Caller:
        return Caller("bob", "192.0.2.1", Operator("tok_1", "bob", "editor", 0.0, None, team=team))

    for team in (None, "billing"):
        assert readable(caller(team), "Api", document) == document
    told = orjson.dumps(readable(caller("orders"), "Api", document)).decode()
    assert "https://b.example" in told and "spiffe://a" in told
    assert not any(f'"{name}"' in told for name in ("a.pem", "c.pem", "k", "KEY"))
    # A Consumer that calls itself of a team is nobody's the less.
    assert "KEY" not in str(readable(caller("billing"), "Consumer", document))
