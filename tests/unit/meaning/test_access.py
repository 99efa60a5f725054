"""Who gets through, told for everyone at once: each way in, each kind of route, and what stays open."""

import pytest

from bartizan.meaning import Access, Point
from bartizan.meaning.access import CREDENTIALS, NO_ROUTE, hosts_over
from tests.unit.meaning.made import FRAME, authorize, made, said, verdicts

EVERYONE_KNOWN = {"acme": "yes", "globex": "yes", "corp": "yes", "": "no", "gone": "no"}


def test_authentication_and_public_routes() -> None:
    compiled = made()
    assert said(compiled) == EVERYONE_KNOWN
    assert said(compiled, "/orders/health") == dict.fromkeys(EVERYONE_KNOWN, "yes")
    assert verdicts(compiled)["gone"].refused_by == CREDENTIALS
    assert verdicts(compiled)[""].refused_by == "Authenticate/callers"
    assert verdicts(compiled, "/nowhere")["acme"].refused_by == NO_ROUTE


def test_on_a_public_route_everyone_is_anonymous() -> None:
    # Credentials are taken off there, so an attribute is nobody's.
    compiled = made(authorize('principal.plan == "gold"', "{paths: [/orders/health]}"))
    assert set(said(compiled, "/orders/health").values()) == {"no"}


@pytest.mark.parametrize(
    ("condition", "acme", "globex", "corp"),
    [
        ('principal.plan == "gold"', "yes", "no", "no"),
        ('principal.department == "finance"', "yes", "no", "Authorize/rule"),
        ('principal.plan != "gold"', "no", "yes", "no"),
        ('!(principal.plan == "gold")', "no", "yes", "no"),
        ("principal.level >= 7", "yes", "no", "no"),
        ("principal.level == 2", "no", "yes", "no"),
        ("principal.trusted", "yes", "no", "no"),
        ('"eu" in principal.regions', "yes", "no", "no"),
        ('"ops" in principal.groups', "yes", "no", "no"),
        ("has(principal.trusted)", "yes", "no", "no"),
        ('principal.id == "globex"', "no", "yes", "no"),
        ('principal.id.startsWith("https:")', "no", "no", "yes"),
        ('principal.id.matches("^[a-c]")', "yes", "no", "Authorize/rule"),
        ("size(principal.id) == 4", "yes", "no", "Authorize/rule"),
        ('principal.method == "jwt"', "no", "no", "yes"),
        ("principal.plan < principal.department", "no", "yes", "no"),
        ('request.method == "GET"', "yes", "yes", "yes"),
        ('request.method != "GET"', "no", "no", "no"),
        ('request.headers["x-a"] == "b"', "Authorize/rule", "Authorize/rule", "Authorize/rule"),
        ('principal.plan == "gold" && now.hour("UTC") > 7', "Authorize/rule", "no", "no"),
        ('principal.plan == "gold" || source.ip.within("10.0.0.0/8")', "yes", "Authorize/rule", "Authorize/rule"),
        ('request.headers["upgrade"] == "x"', "Authorize/rule", "Authorize/rule", "Authorize/rule"),
        ('request.path.startsWith("/orders")', "yes", "yes", "yes"),
        ('request.path.startsWith("/orders/x")', "Authorize/rule", "Authorize/rule", "Authorize/rule"),
        ('request.path == "/pets"', "no", "no", "no"),
    ],
)
def test_what_is_known_is_told_and_the_rest_left_open(condition: str, acme: str, globex: str, corp: str) -> None:
    found = said(made(authorize(condition)))
    assert found == {"acme": acme, "globex": globex, "corp": corp, "": "no", "gone": "no"}


def test_methods() -> None:
    compiled = made(authorize('principal.plan == "gold"', "{methods: [POST], except: [/orders/health]}"))
    assert said(compiled, method="POST")["globex"] == "no"
    assert said(compiled, method="GET")["globex"] == "yes"
    assert said(compiled, method=None)["globex"] == "yes"
    limited = made(frame=FRAME.replace("paths: [/orders]\n", "paths: [/orders]\nmethods: [GET]\n"))
    assert verdicts(limited, method="DELETE")["acme"].refused_by == "method-not-allowed"
    assert said(limited, method="HEAD")["acme"] == "yes"
    assert said(limited, method=None)["acme"] == "no"
    # A pattern may mean a method that nobody names.
    assert said(made(authorize('request.method.matches("^P")')), method=None)["acme"] == "Authorize/rule"


def test_all_policies_must_let_through_and_those_in_shadow_have_no_say() -> None:
    gold, sales = authorize('principal.plan == "gold"', name="a"), authorize('principal.department == "sales"', name="b")
    assert verdicts(made(gold, sales))["acme"].refused_by == "Authorize/b"
    assert said(made(gold, sales + "mode: shadow\n"))["acme"] == "yes"


def test_what_contradicts_itself_is_refused() -> None:
    found = made(authorize('request.headers["x-a"] == "b"', name="a"), authorize('request.headers["x-a"] != "b"', name="b"))
    assert set(said(found).values()) == {"no"}


def test_hosts() -> None:
    assert list(hosts_over("a.b.c")) == ["a.b.c", "*.b.c", "*.c", "*"]
    assert list(hosts_over("*.b.c")) == ["*.b.c", "*.c", "*"]
    assert list(hosts_over("*")) == ["*"]
    own = "kind: Api\nname: own\nhosts: ['*.example.com']\npaths: [/orders/mine]\nupstream: http://127.0.0.1:9\n"
    access = Access(made(own))
    apis = {host: getattr(access.route(Point(host, "/orders/mine/x"), "GET"), "api", None) for host in ("a.example.com", "example.org")}
    assert apis == {"a.example.com": "own", "example.org": "orders"}
    assert getattr(access.route(Point("a.example.com", "/orders"), "GET"), "api", None) == "orders"


@pytest.mark.parametrize("condition", ["principal.trusted", "!principal.trusted", "has(principal.trusted)"])
def test_what_a_context_source_says_isn_t_known(condition: str) -> None:
    frame = FRAME.replace(", trusted: true", "")
    source = "kind: ContextSource\nname: mdm\nattributes: [trusted]\npush: true\n"
    assert said(made(authorize(condition), frame=frame))["acme"] == "no"
    found = said(made(authorize(condition), source, frame=frame))
    assert {name: found[name] for name in ("acme", "globex", "corp")} == dict.fromkeys(("acme", "globex", "corp"), "Authorize/rule")
