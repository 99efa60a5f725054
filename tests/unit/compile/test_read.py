"""Mistakes people make: each is told with its file, its line, its path, and what to do; all at once."""

import pytest

from bartizan.compile.read import assemble, read
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot

GOOD = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string, level: number}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:9101
---
kind: Authenticate
name: callers
any: [api_key]
"""

ISSUER = "kind: Issuer\nname: b\nissuer: https://x\naudiences: [a]\njwks: {keys: []}\n"


def problems(text: str, *, good: str = GOOD) -> tuple[Problem, ...]:
    found = assemble([read(good, "good.yaml"), read(text, "case.yaml")], {})
    assert not isinstance(found, Snapshot), "nothing was found wrong"
    return found


@pytest.mark.parametrize(
    ("text", "code", "line", "path", "says"),
    [
        ("kind: Athorize\nname: a\n", "kind-unknown", 1, "kind", "Authorize"),
        ("name: a\n", "kind-missing", 1, "", "kind"),
        ("kind: Api\nname: b\npaths: [/b]\n", "field-missing", 1, "Api/b: upstream", "upstream"),
        (
            "kind: Api\nname: b\npaths: [/b]\nupstrem: http://x\nupstream: http://x:1\n",
            "field-extra-forbidden",
            4,
            "Api/b: upstrem",
            "upstream",
        ),
        ("kind: Api\nname: b\npaths: [b]\nupstream: http://x:1\n", "field-value-error", 3, "Api/b: paths[0]", "begins with"),
        ("kind: Api\nname: b\npaths: [/a/../b]\nupstream: http://x:1\n", "field-value-error", 3, "Api/b: paths[0]", ""),
        ("kind: Api\nname: b\npaths: [/b]\nupstream: ftp://x\n", "field-value-error", 4, "", "http"),
        ("kind: Api\nname: orders\npaths: [/b]\nupstream: http://x:1\n", "name-taken", 1, "Api/orders", "good.yaml"),
        ("kind: Authenticate\nname: b\ntarget: {api: order}\nany: [api_key]\n", "api-unknown", 3, "Authenticate/b: target.api", "orders"),
        ("kind: Authenticate\nname: b\nany: [{jwt: corp}]\n", "issuer-unknown", 3, "Authenticate/b: any[0].jwt", "corp"),
        ("kind: Authorize\nname: b\nallow: principal.plann == 'x'\n", "condition-unknown-name", 3, "allow", "principal.plan"),
        ("kind: Authorize\nname: b\nfloor: true\nmode: shadow\nallow: 'true'\n", "floor-weakened", 4, "Authorize/b: mode", ""),
        ("kind: Consumer\nname: b\nattributes: {plam: gold}\n", "attribute-undeclared", 3, "Consumer/b: attributes.plam", "plan"),
        ("kind: Consumer\nname: b\nattributes: {level: high}\n", "attribute-type", 3, "level", "number"),
        ("kind: Consumer\nname: b\nattributes: {plan: 'a;b'}\n", "attribute-value", 3, "", ";"),
        (
            "kind: Issuer\nname: b\nissuer: https://x\naudiences: [a]\njwks: {keys: []}\nalgorithms: [HS256]\n",
            "field-value-error",
            6,
            "",
            "never",
        ),
        (
            "kind: Issuer\nname: b\nissuer: https://x\naudiences: [a]\njwks: {keys: []}\nalgorithms: [none]\n",
            "field-value-error",
            6,
            "",
            "none",
        ),
        ("kind: RateLimit\nname: b\nper: principal.level\ntiers: [{windows: [1/second]}]\n", "limit-unknown-key", 3, "", "principal.plan"),
        (
            'kind: RateLimit\nname: b\nper: principal.id\ntiers: [{when: "true", windows: [1/second]}]\n',
            "field-value-error",
            4,
            "RateLimit/b: tiers",
            "without `when`",
        ),
        ("kind: Public\nname: b\n", "field-missing", 1, "Public/b: reason", ""),
        ("a: 1\na: 2\n", "yaml-unreadable", 2, "", "twice"),
    ],
)
def test_a_mistake_is_told_where_it_is(text: str, code: str, line: int, path: str, says: str) -> None:
    found = problems(text)
    match = [one for one in found if one.code == code]
    assert match, [str(one) for one in found]
    assert match[0].at.line == line, str(match[0])
    assert path in match[0].at.path
    assert says in match[0].message + match[0].hint


def test_every_mistake_is_told_at_once() -> None:
    found = problems("kind: Consumer\nname: a\nattributes: {x: 1, y: 2}\n---\nkind: Authorize\nname: b\nallow: principal.nope\n")
    assert len(found) >= 3


def test_a_secret_in_the_open_is_refused_and_not_repeated() -> None:
    found = problems("kind: Consumer\nname: b\ncredentials: [{api_key: super-secret-value-123456}]\n")
    text = " ".join(map(str, found))
    assert "{env: NAME}" in text
    assert "super-secret" not in text


def test_there_is_exactly_one_gateway() -> None:
    assert [one.code for one in problems("kind: Gateway\nname: b\nlisteners: [{name: w, address: '127.0.0.1:1'}]\n")] == ["gateway-count"]
    found = assemble([read("kind: Consumer\nname: a\n", "a.yaml")], {})
    assert isinstance(found, tuple)
    assert found[0].code == "gateway-count"


def test_the_revision_is_what_the_policies_say_and_nothing_else() -> None:
    def revision(text: str) -> str:
        found = assemble([read(text, "x.yaml")], {})
        assert isinstance(found, Snapshot)
        return found.revision

    documents = GOOD.strip().split("\n---\n")
    assert revision(GOOD) == revision("\n---\n".join(reversed(documents)))
    assert revision(GOOD) == revision(GOOD.replace("{plan: string, level: number}", "\n  level: number # a comment\n  plan: string"))
    assert revision(GOOD) == revision(GOOD + "\n---\nkind: Consumer\nname: acme\n"), "who may call is live data"
    assert revision(GOOD) != revision(GOOD.replace("[/orders]", "[/order]"))
    assert revision(GOOD) != revision(GOOD.replace("any: [api_key]", "any: [api_key]\nmode: shadow"))
    assert revision(GOOD) == revision(GOOD.replace("any: [api_key]", "any: [api_key]\nmode: enforce")), "what is so by default"
    assert revision(GOOD) == "ea11c6cfb69d0895", "another version of ours gives it the same name, whatever fields it knows beside"
