"""The Cors kind: what may be written, and what it becomes."""

import re

import pytest
from pydantic import ValidationError

from bartizan.compile.read import read
from bartizan.condition import Schema, Sources
from bartizan.envoy import names, to_dict
from bartizan.model.api import Api
from bartizan.model.gateway import Gateway, Listener
from bartizan.policies import Place
from bartizan.policies import cors as module
from bartizan.policies.cors import Cors

API = Api(name="orders", paths=("/orders",), upstream={"endpoints": ({"url": "http://127.0.0.1:1"},)})
GATEWAY = Gateway(name="edge", listeners=(Listener(name="web", address="127.0.0.1:0"),))
PLACE = Place("Cors/x", False, API, "/orders", GATEWAY, Schema({}), Sources())


def cors(**fields: object) -> Cors:
    return Cors.model_validate({"name": "x", "origins": ["https://shop.example.com"], **fields})


def test_the_manuals_example_is_valid() -> None:
    example = re.search(r"```yaml\n(.*?)```", module.__doc__ or "", re.DOTALL)
    assert example is not None
    found = read(example[1], "x.yaml")
    assert not found.problems
    assert len(found.resources) == 1


@pytest.mark.parametrize(
    "origin",
    [
        "shop.example.com",
        "https://shop.example.com/",
        "https://Shop.example.com",
        "https://shop.example.com:443",
        "http://shop.example.com:80",
        "https://*.com",
        "http://*.example.com",
        "https://*example.com",
        "https://a.*.example.com",
        "null",
        "https://user@example.com",
        "ftp://example.com",
        "https://",
        "",
    ],
)
def test_an_origin_that_no_browser_sends_or_that_is_too_wide_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError):
        cors(origins=[origin])


@pytest.mark.parametrize(
    "origin", ["*", "http://localhost:3000", "https://shop.example.com:8443", "https://*.example.com", "http://[::1]:3000"]
)
def test_origins(origin: str) -> None:
    assert cors(origins=[origin]).origins == (origin,)


@pytest.mark.parametrize("field", [{"origins": ["*"]}, {"headers": ["*"]}, {"expose": ["*"]}])
def test_credentials_are_never_for_everyone(field: dict[str, object]) -> None:
    assert cors(**field)
    with pytest.raises(ValidationError, match="with credentials"):
        cors(**field, credentials=True)


@pytest.mark.parametrize(
    "fields", [{"origins": []}, {"origins": ["*", "https://a.example"]}, {"max_age": "2d"}, {"methods": ["TRACE"]}, {"headers": ["a b"]}]
)
def test_other_mistakes(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        cors(**fields)


def test_a_target_with_methods_is_a_fault() -> None:
    faults = list(cors(target={"methods": ["GET"]}).faults(Schema({}), {}))
    assert [fault.code for fault in faults] == ["cors-by-method"]
    assert not list(cors().faults(Schema({}), {}))


def test_what_it_becomes() -> None:
    fragment = cors(origins=["https://*.example.com"], credentials=True, headers=["Content-Type"], max_age="5m").compile(PLACE)
    policy = to_dict(fragment.per_filter[names.CORS])
    assert policy["allow_headers"] == "content-type"
    assert policy["allow_methods"] == "GET, HEAD, POST"
    assert policy["max_age"] == "300"
    assert policy["allow_credentials"] is True
    assert policy["forward_not_matching_preflights"] is False
    pattern = re.compile(policy["allow_origin_string_match"][0]["safe_regex"]["regex"])
    assert pattern.fullmatch("https://a.example.com")
    assert pattern.fullmatch("https://a.b.example.com")
    for other in ("https://example.com", "https://evilexample.com", "https://a.example.com.evil.org", "http://a.example.com", "*", "null"):
        assert not pattern.fullmatch(other)
