"""Resources: which requests an ARN names, and what names none."""

import re
from typing import Any

import pytest

from bartizan.envoy import to_dict
from bartizan.policies.resource_policy.notes import Refused
from bartizan.policies.resource_policy.resources import Pattern, covered, pattern
from tests.unit.condition.shape import shape
from tests.unit.policies.resource_policy.written import codes, document, lowered, problems

REQUESTS = [
    (method, path)
    for method in ("GET", "HEAD", "POST", "OPTIONS")
    for path in ("/", "/orders", "/orders/", "/orders/1", "/orders/a%40b", "/orders/a@b", "/orders/%c3%A9", "/orders/1/refunds", "/ordersX")
]


def _holds(rule: Any, method: str, target: str) -> bool:
    """What the few matchers that resources become say of a request."""
    return rule if isinstance(rule, bool) else _judged(to_dict(rule), {":method": method, ":path": target})


def _judged(one: dict[str, Any], request: dict[str, str]) -> bool:
    for kind, combine in (("and", all), ("or", any)):
        if f"{kind}_matcher" in one:
            return combine(_judged(each, request) for each in one[f"{kind}_matcher"]["predicate"])
    single = one["single_predicate"]
    given = request[single["input"]["typed_config"]["header_name"]]
    ((kind, wanted),) = single["value_match"].items()
    if kind == "safe_regex":
        return re.fullmatch(wanted["regex"].replace(r"\C", "(?s:.)").encode(), given.encode()) is not None
    return given == wanted if kind == "exact" else given.startswith(wanted)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("*", True),
        ("execute-api:/*", True),
        ("arn:aws:execute-api:*:*:*", True),
        ("arn:aws:execute-api:*:edge:orders/*", True),
        ("arn:*:execute-api:*:edge:ord*/$default/*", True),
        ("arn:aws:execute-api:*:edge:pets/*", False),
        ("execute-api:/$default/GET/*", ":method exact 'GET'"),
        ("execute-api:/$default/GET/orders/*", "and(:method exact 'GET', :path prefix '/orders/')"),
        ("execute-api:/*/GET/*", r"or(:method exact 'GET', :path safe_regex [^?]*/GET/[^?]*(?:\?\C*)?)"),
        ("execute-api:/$default/*/orders/*", r":path safe_regex [^?]*/orders/[^?]*(?:\?\C*)?"),
        ("execute-api:/$default/P*/orders/*", r"and(:method safe_regex P\C*, :path safe_regex [^?]*/orders/[^?]*(?:\?\C*)?)"),
        ("execute-api:/$default/GET/orders", r"and(:method exact 'GET', :path safe_regex /orders(?:\?\C*)?)"),
        ("execute-api:/$default/GET/orders/*/x", r"and(:method exact 'GET', :path safe_regex /orders/[^?]*/x(?:\?\C*)?)"),
        ("execute-api:/$default/GET/a@b", r"and(:method exact 'GET', :path safe_regex /a(?:@|%40)b(?:\?\C*)?)"),
        ("execute-api:/$default/GET/a%2Ab", r"and(:method exact 'GET', :path safe_regex /a(?:\*|%2[aA])b(?:\?\C*)?)"),
        ("execute-api:/$default/GET/${*}", r"and(:method exact 'GET', :path safe_regex /(?:\*|%2[aA])(?:\?\C*)?)"),
        ("execute-api:/$default/GET/é", r"and(:method exact 'GET', :path safe_regex /%[cC]3%[aA]9(?:\?\C*)?)"),
        ("execute-api:/$default/GET/%c3%A9", r"and(:method exact 'GET', :path safe_regex /%[cC]3%[aA]9(?:\?\C*)?)"),
    ],
)
def test_what_an_arn_becomes(text: str, rule: bool | str) -> None:
    found = covered(pattern(text, True), "orders", loose=False)
    assert (found if isinstance(found, bool) else shape(found)) == rule


def test_where_it_refuses_head_is_get_and_a_last_slash_is_none() -> None:
    found = shape(covered(pattern("execute-api:/$default/GET/orders/a", True), "orders", loose=True))
    assert found == r"and(or(:method exact 'GET', :method exact 'HEAD'), :path safe_regex /orders/a/?(?:\?\C*)?)"
    assert shape(covered(pattern("execute-api:/$default/POST/a/", True), "orders", loose=True)).endswith(
        r":path safe_regex /a/?(?:\?\C*)?)"
    )
    every_get = shape(covered(pattern("execute-api:/$default/?ET/*", True), "orders", loose=True))
    assert every_get.startswith("or(:method safe_regex ")
    assert every_get.endswith(":method exact 'HEAD')")


@pytest.mark.parametrize(
    "tail",
    [
        "*/orders",
        "G*",
        "GET*",
        "*T/orders/1",
        "GET/orders?1",
        "?ET/*",
        "*s",
        "*/*/refunds",
        "*o*/*1",
        "GET/*@*",
        "O*S*/*",
        "*",
        "**/1",
        "GET?orders",
    ],
)
def test_a_wildcard_may_stand_for_several_parts(tail: str) -> None:
    """Cut into method and path, the pattern matches what it matches as a whole."""
    whole = re.compile("".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in tail))
    rule = covered(pattern(f"execute-api:/$default/{tail}", True), "orders", loose=False)
    for method, path in REQUESTS:
        if "%" not in path:
            for query in ("", "?", "?a=/orders/1"):
                assert _holds(rule, method, path + query) == (whole.fullmatch(method + path) is not None), (method, path)


def test_encoded_and_plain_characters_are_one() -> None:
    for written in ("/orders/a@b", "/orders/a%40b", "/orders/a?b"):
        rule = covered(pattern(f"execute-api:/*/GET{written}", True), "orders", loose=False)
        assert [path for method, path in REQUESTS if _holds(rule, method, path)] == ["/orders/a%40b", "/orders/a@b"]
    for written in ("/orders/é", "/orders/%C3%A9"):
        rule = covered(pattern(f"execute-api:/*/GET{written}", True), "orders", loose=False)
        assert [path for method, path in REQUESTS if _holds(rule, method, path)] == ["/orders/%c3%A9"]
    one = covered(pattern("execute-api:/*/GET/orders/?", True), "orders", loose=False)
    assert [path for method, path in REQUESTS if _holds(one, method, path)] == ["/orders/1", "/orders/%c3%A9"]


def test_effects_decide_what_is_loose() -> None:
    resource = "execute-api:/$default/GET/orders"
    loose, strict = "/orders/?(?:", "/orders(?:"
    allow = document()["Statement"]
    for effect, element, expected in (
        ("Allow", "Resource", strict),
        ("Allow", "NotResource", loose),
        ("Deny", "Resource", loose),
        ("Deny", "NotResource", strict),
    ):
        statement = document(**{"Effect": effect, "Resource": None, element: resource})["Statement"]
        found = lowered({"Version": "2012-10-17", "Statement": [statement, allow] if effect == "Deny" else statement})
        assert expected in found, (effect, element)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "arn-malformed"),
        ("orders", "arn-malformed"),
        ("/*", "arn-malformed"),
        ("execute-api:*", "arn-malformed"),
        ("execute-api:orders/*", "arn-malformed"),
        ("arn:aws:execute-api:*", "arn-malformed"),
        ("arn:aws:s3:::bucket/*", "arn-malformed"),
        ("arn:aws-cn:execute-api:*:edge:orders/*", "arn-malformed"),
        ("arn:aws:*:*:edge:orders/*", "arn-malformed"),
        ("arn:aws:execute-api:us-east-1:edge:orders/*", "arn-region"),
        ("arn:aws:execute-api::edge:orders/*", "arn-region"),
        ("arn:aws:execute-api:*:ed*:orders/*", "arn-account"),
        ("arn:aws:execute-api:*::orders/*", "arn-account"),
        ("arn:aws:execute-api:*:edge:orders/prod/GET/x", "arn-stage"),
        ("execute-api:/prod/*", "arn-stage"),
        ("arn:aws:execute-api:*:edge:*/GET/orders", "arn-stage"),
        ("execute-api:/$default/get/orders", "arn-method"),
        ("execute-api:/$default/orders/1", "arn-method"),
        ("execute-api:/*/GET/a%2Fb", "arn-unreachable"),
        ("execute-api:/*/GET/a%", "arn-malformed"),
        ("execute-api:/*/GET/%FF", "arn-malformed"),
        ("execute-api:/*/GET/${aws:username}", "policy-variable"),
        ("arn:aws:execute-api:*:edge:${aws:PrincipalTag/x}/*", "policy-variable"),
        ("execute-api:/*/GET/" + "?" * 200, "pattern-too-large"),
    ],
)
def test_what_names_no_request_is_refused(text: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        pattern(text, True)
    assert refused.value.code == code
    assert refused.value.hint
    assert codes(document(Resource=text)) == [(code, "Statement.Resource")]


@pytest.mark.parametrize(
    ("text", "api", "account"),
    [
        ("arn:aws:execute-api:*:edge:orders/*", "orders", "edge"),
        ("arn:aws:execute-api:*:*:orders", "orders", None),
        ("arn:aws:execute-api:*:edge:ord*/x", None, "edge"),
        ("execute-api:/*", None, None),
        ("*", None, None),
    ],
)
def test_what_a_pattern_names(text: str, api: str | None, account: str | None) -> None:
    found: Pattern = pattern(text, True)
    assert (found.api, found.account) == (api, account)


@pytest.mark.parametrize(
    ("text", "target", "code"),
    [
        ("arn:aws:execute-api:*:other:orders/*", "{}", "arn-account"),
        ("arn:aws:execute-api:*:edge:oders/*", "{}", "api-unknown"),
        ("arn:aws:execute-api:*:edge:ords*/*", "{}", "arn-unreachable"),
        ("arn:aws:execute-api:*:edge:orders", "{}", "arn-unreachable"),
        ("arn:aws:execute-api:*:edge:pets/*", "{api: orders}", "arn-unreachable"),
        ("execute-api:/", "{}", "arn-unreachable"),
        ("execute-api:/*/GET/refunds", "{}", "arn-unreachable"),  # without the API's prefix
        ("execute-api:/*/GET/refunds/*", "{api: orders}", "arn-unreachable"),
        ("execute-api:/*/GET/ordersX", "{api: orders}", "arn-unreachable"),
        ("execute-api:/*/DELETE/orders/1", "{api: orders}", "arn-unreachable"),  # the API answers GET and POST
        ("execute-api:/*/GTE/pets", "{api: pets}", "arn-unreachable"),
        ("execute-api:/*/POST/orders/1", "{api: orders, methods: [GET]}", "arn-unreachable"),
        ("execute-api:/*/GET/orders/2", "{api: orders, paths: [/orders/1]}", "arn-unreachable"),
        ("execute-api:/*/GET/orders", "{api: orders, paths: [/orders/1]}", "arn-unreachable"),
    ],
)
def test_what_no_request_can_have_is_told(text: str, target: str, code: str) -> None:
    ((found, told),) = problems(document(Resource=text), target)
    assert found == code
    assert told


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("*", "{}"),
        ("execute-api:/*", "{api: orders}"),
        ("execute-api:/*/GET/orders", "{}"),
        ("execute-api:/*/HEAD/orders", "{api: orders, methods: [GET]}"),
        ("execute-api:/*/GET/orders/", "{api: orders}"),
        ("execute-api:/*/*/orders/1/2", "{api: orders, paths: [/orders/1]}"),
        ("execute-api:/*/GET/v2/*", "{api: orders}"),
        ("execute-api:/*/GET/*/refunds", "{}"),
        ("execute-api:/*/?ET/o*", "{}"),
        ("execute-api:/*/PATCH/pets", "{}"),
        ("arn:aws:execute-api:*:*:*/$default/*/pets/x", "{}"),
        ("arn:aws:execute-api:*:edge:orders/*", "{paths: [/v2/orders/x]}"),
    ],
)
def test_what_a_request_can_have_is_taken(text: str, target: str) -> None:
    assert problems(document(Resource=text), target) == []
