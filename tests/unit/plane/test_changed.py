"""A snapshot with other documents in it is what it would be if all of them were read at once, with the same problems."""

from typing import Any

import orjson
import pytest

from bartizan.compile.read import Read, assemble, read, read_documents
from bartizan.errors import Invalid
from bartizan.lib.yaml import Document
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.plane.changed import changed

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:1"}
---
{kind: Consumer, name: acme, attributes: {plan: gold}}
---
{kind: Consumer, name: beta, credentials: [{fingerprint: FF}]}
---
{kind: Issuer, name: corp, issuer: "https://idp.example.com", audiences: [orders], jwks: {file: corp.json}}
---
{kind: Device, name: laptop, certificates: [EE], state: trusted}
---
{kind: Authenticate, name: callers, any: [api_key, {jwt: corp}]}
""".replace("FF", "f" * 64).replace("EE", "e" * 64)
IRON: dict[str, Any] = {"kind": "Consumer", "name": "acme", "attributes": {"plan": "iron"}}
GUEST: dict[str, Any] = {"kind": "Consumer", "name": "guest"}
LOST: dict[str, Any] = {"kind": "Device", "name": "laptop", "certificates": ["e" * 64], "state": "lost"}
API: dict[str, Any] = {"kind": "Api", "name": "more", "paths": ["/more"], "upstream": "http://127.0.0.1:2"}
ACME, BETA, CORP = ("Consumer", "acme"), ("Consumer", "beta"), ("Issuer", "corp")


def before() -> Snapshot:
    found = assemble([read(FILES, "a.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


def documents(*put: dict[str, Any], gone: tuple[tuple[str, str], ...] = ()) -> dict[tuple[str, str], bytes | None]:
    return {(one["kind"], one["name"]): orjson.dumps(one) for one in put} | dict.fromkeys(gone)


def at_once(old: Snapshot, wanted: dict[tuple[str, str], bytes | None]) -> Snapshot | tuple[Problem, ...]:
    """The same, read and checked as if nothing had been there."""
    reads: list[Read] = [
        read_documents([Document(orjson.loads(body), {})], f"api/{key[0]}/{key[1]}") for key, body in wanted.items() if body is not None
    ]
    rest = [Document(one.document.value, {}) for key, one in old.resources.items() if key not in wanted]
    return assemble([read_documents(rest, "a.yaml"), *reads], {})


@pytest.mark.parametrize(
    "wanted",
    [
        documents(IRON),
        documents(GUEST),
        documents(LOST),
        documents(IRON, GUEST, LOST, gone=(BETA,)),
        documents(gone=(ACME,)),
        documents(API),
        documents(API, IRON, gone=(BETA,)),
    ],
)
def test_it_is_as_if_all_were_read_at_once(wanted: dict[tuple[str, str], bytes | None]) -> None:
    old = before()
    made, whole = changed(old, wanted, {}), at_once(old, wanted)
    assert isinstance(whole, Snapshot), whole
    for name in ("gateway", "apis", "consumers", "issuers", "devices", "files", "revision", "contexts"):
        assert getattr(made, name) == getattr(whole, name), name
    assert sorted(made.policies, key=repr) == sorted(whole.policies, key=repr)
    assert {key: one.digest for key, one in made.resources.items()} == {key: one.digest for key, one in whole.resources.items()}
    assert old.consumers.keys() == {"acme", "beta"} and old.devices["laptop"].state == "trusted", "what was there stays as it was"


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (documents({**IRON, "attributes": {"plan": 3}}), "attribute-type"),
        (documents({**IRON, "attributes": {"pln": "x"}}), "attribute-undeclared"),
        (documents({**IRON, "attributes": {"plan": "a;b"}}), "attribute-value"),
        (documents({**IRON, "groups": ["a;b"]}), "attribute-value"),
        (documents({**GUEST, "credentials": [{"certificate": {"ca": "nobody", "san": "spiffe://x"}}]}), "ca-unknown"),
        (documents({**GUEST, "credentials": [{"fingerprint": "f" * 64}]}), ""),
        (documents({**LOST, "name": "other"}), ""),
        (documents({**GUEST, "nme": "x"}), "field-extra-forbidden"),
        (documents(gone=(CORP,)), "issuer-unknown"),
    ],
)
def test_what_is_wrong_with_live_data_is_told_as_if_all_were_read_at_once(wanted: dict[tuple[str, str], bytes | None], code: str) -> None:
    old = before()
    whole = at_once(old, wanted)
    assert isinstance(whole, tuple), "it is wrong"
    with pytest.raises(Invalid) as caught:
        changed(old, wanted, {})
    told, expected = ([(one.code, one.message) for one in some] for some in (caught.value.problems, whole))
    assert sorted(told) == sorted(expected)
    assert not code or code in dict(told)
