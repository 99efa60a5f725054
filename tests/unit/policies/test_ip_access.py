"""The IpAccess kind: what may be written, and what it becomes."""

import pytest
from pydantic import ValidationError

from bartizan.compile.live import lists
from bartizan.condition import Schema, Sources
from bartizan.envoy import to_dict
from bartizan.model.api import Api
from bartizan.model.gateway import Gateway, Listener
from bartizan.policies import Place
from bartizan.policies.ip_access import MOST_IN_ROUTE, IpAccess

API = Api(name="orders", paths=("/orders",), upstream={"endpoints": ({"url": "http://127.0.0.1:1"},)})
GATEWAY = Gateway(name="edge", listeners=(Listener(name="web", address="127.0.0.1:0"),))
MANY = "\n".join(f"10.0.{i // 256}.{i % 256}" for i in range(MOST_IN_ROUTE + 1)).encode()


def place(files: dict[str, bytes] | None = None, sources: Sources | None = None) -> Place:
    return Place("IpAccess/x", False, API, "/orders", GATEWAY, Schema({}), sources or Sources(), files or {})


def access(**fields: object) -> IpAccess:
    return IpAccess.model_validate({"name": "x", **fields})


def test_it_decides_something() -> None:
    with pytest.raises(ValidationError, match="decides nothing"):
        access()


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0", "example.com", "1.2.3.4/33", "", "*", "::1/200", "1.2.3.4-1.2.3.9"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        access(deny=[text])


def test_an_ipv4_address_in_its_ipv6_form_is_that_ipv4_address() -> None:
    assert access(deny=["::ffff:192.0.2.1", "::ffff:198.51.100.0/120"]).deny == ("192.0.2.1/32", "198.51.100.0/24")


def test_a_short_list_is_in_the_route_and_a_long_one_is_held_once() -> None:
    short = access(deny=["10.0.0.0/8"]).compile(place())
    assert not short.lists
    one = access(deny={"file": "a"}).compile(place({"a": MANY}))
    other = access(allow={"file": "b"}).compile(place({"b": b"# the same, in another order\n" + b"\n".join(reversed(MANY.split(b"\n")))}))
    assert len(one.lists) == 1
    assert one.lists == other.lists
    assert len(one.lists[0].networks) == MOST_IN_ROUTE + 1
    assert one.lists[0].name in str(one.permit)


def test_a_long_denied_list_must_have_answered() -> None:
    """A list that Envoy doesn't hold (yet) lets nobody through."""
    fragment = access(deny={"file": "a"}).compile(place({"a": MANY}))
    assert '"exact": "out"' in str(to_dict(fragment.permit)).replace("'", '"')


@pytest.mark.parametrize("many", [False, True])
def test_in_a_scratch_instance_the_address_comes_from_a_header(many: bool) -> None:
    sources = Sources(address="header")
    fragment = access(deny={"file": "a"} if many else ["10.0.0.1"]).compile(place({"a": MANY}, sources))
    whole = str(fragment.permit) + (str(lists(fragment.lists, sources)) if many else "")
    assert "x-bartizan-source" in whole
    assert "SourceIPInput" not in whole
    production = access(deny={"file": "a"} if many else ["10.0.0.1"]).compile(place({"a": MANY}))
    whole = str(production.permit) + (str(lists(production.lists, Sources())) if many else "")
    assert "x-bartizan-source" not in whole


def test_mistakes_in_a_file_name_their_lines() -> None:
    files = {"a": b"10.0.0.0/8 # ours\n\n# comment\n10.0.0.1/8\nexample.com\n"}
    faults = list(access(deny={"file": "a"}).faults(Schema({}), files))
    assert [fault.code for fault in faults] == ["ip-list-line"] * 2
    assert "line 4" in faults[0].message
    assert faults[0].path == ("deny", "file")


def test_an_empty_file_lets_nobody_through_by_mistake() -> None:
    empty = {"a": b"# nothing yet\n"}
    assert [fault.code for fault in access(allow={"file": "a"}).faults(Schema({}), empty)] == ["ip-list-empty"]
    assert not list(access(deny={"file": "a"}).faults(Schema({}), empty))


def test_its_files_are_named() -> None:
    assert list(access(allow={"file": "a"}, deny={"file": "b"}).file_names()) == ["a", "b"]
