"""A canary by caller: whose requests are marked, and what stands beside the active revision for them."""

import pytest

from bartizan.compile import Compiled, stamp
from bartizan.compile.riding import riding
from bartizan.compile.split import Callers, Split, beside, joined, marking
from bartizan.envoy import message_type, names, to_dict
from bartizan.envoy.filters import refuse_all
from tests.unit.compile.test_riding import DENY, LIMIT, REST, made

ROUTES = message_type("envoy.config.route.v3.RouteConfiguration")


def split(active: Compiled, candidate: Compiled, callers: Callers) -> Split:
    return Split(callers, active.snapshot.revision, candidate.snapshot.revision, riding(active, candidate))


def test_marked_requests_meet_the_candidates_routes_and_all_others_the_active_ones() -> None:
    active, candidate = made(), made(REST + DENY)
    found = beside(split(active, candidate, Callers(("acme",))), active, stamp(active, {}))
    config = to_dict(ROUTES.FromString(found[names.ROUTES, "*/orders"]))
    (host,) = config["virtual_hosts"]
    told = [
        (
            one["metadata"]["filter_metadata"]["bartizan"]["revision"],
            one["match"].get("filter_state"),
            one["match"]["path_separated_prefix"],
        )
        for one in host["routes"]
    ]
    mark = [{"key": "bartizan.canary", "string_match": {"exact": candidate.snapshot.revision}}]
    assert told == [(candidate.snapshot.revision, mark, "/orders"), (active.snapshot.revision, None, "/orders")]
    assert (names.ROUTES, "*/old") not in found, "what both say alike is sent anew"


def test_its_upstream_is_there_and_nothing_that_doesnt_ride() -> None:
    text = (REST + DENY).replace("http://127.0.0.1:1", "http://127.0.0.1:2", 1)
    active, candidate = made(), made(text)
    found = beside(split(active, candidate, Callers(("acme",))), active, stamp(active, {}))
    assert [body for (kind, _), body in found.items() if kind == names.CLUSTER] == [one.body for one in candidate.parts["orders"].clusters]
    assert {name for kind, name in found if kind == names.ROUTES} == {"*/orders", "*/old"}


def test_both_count_in_the_active_revisions_buckets() -> None:
    active, candidate = made(REST + LIMIT.replace("WINDOW", "5/second")), made(REST + DENY + LIMIT.replace("WINDOW", "6/second, 9/hour"))
    found = beside(split(active, candidate, Callers(("acme",))), active, stamp(active, {}))
    told = str(
        [
            to_dict(message_type("envoy.config.core.v3.TypedExtensionConfig").FromString(body))
            for (kind, _), body in found.items()
            if kind == names.ECDS
        ]
    )
    assert "'max_tokens': 5" in told and "'max_tokens': 9" in told
    assert "'max_tokens': 6" not in told


def test_routes_of_a_revision_before_keep_the_name_that_they_had() -> None:
    first = made()
    active = made(REST + "\n---\n{kind: IpAccess, name: old, target: {api: orders, paths: [/old]}, deny: [10.0.0.0/8]}\n")
    stamps = stamp(active, stamp(first, {}))
    scope = riding(active, made(REST + DENY)).scopes["*/orders"]
    body = joined(stamps["*/orders"], scope, "candidate")
    (host,) = to_dict(ROUTES.FromString(body))["virtual_hosts"]
    revisions = [one["metadata"]["filter_metadata"]["bartizan"]["revision"] for one in host["routes"]]
    assert revisions == ["candidate", first.snapshot.revision]


@pytest.mark.parametrize("callers", [Callers(("acme", "https://idp|ines")), Callers(percent=2.5)], ids=str)
def test_nobody_is_marked_but_those_who_are_known(callers: Callers) -> None:
    one = split(made(), made(REST + DENY), callers)
    filters = to_dict(marking(one))["default_filter_chain"]["filters"]
    (matcher,) = filters[-1]["typed_config"]["matcher"]["matcher_list"]["matchers"]
    assert set(filters[-1]["typed_config"]["matcher"]) == {"matcher_list"}, "there is something for those whom no predicate meets"
    told = str(matcher["predicate"])
    if callers.names:
        assert all(f"'exact': '{name}'" in told for name in callers.names)
    else:
        assert "'present_match': True" in told
        assert "{'numerator': 250, 'denominator': 'TEN_THOUSAND'}" in told
    mark = matcher["on_match"]["action"]["typed_config"]["typed_config"]["typed_config"]
    assert mark["clear_route_cache"] is True
    assert mark["on_request_headers"][0]["format_string"]["text_format_source"] == {"inline_string": one.revision}


def test_the_share_is_the_same_for_a_revision_and_another_for_each() -> None:
    def seed(percent: float, change: str) -> str:
        chain = to_dict(marking(split(made(), made(REST + change), Callers(percent=percent))))
        return str(chain).partition("('seed', '")[2].partition("'")[0]

    assert seed(5, DENY) == seed(25, DENY) != seed(5, DENY.replace("10.0.0.0", "11.0.0.0"))
    assert seed(5, DENY)


def test_what_stood_in_its_place_stays_before_it() -> None:
    one = split(made(), made(REST + DENY), Callers(("acme",)))
    filters = to_dict(marking(one, [("brakes", refuse_all("x"))]))["default_filter_chain"]["filters"]
    assert [step["name"] for step in filters] == ["brakes", "mark"]


def test_callers_are_told_to_people() -> None:
    assert (str(Callers(("acme", "globex"))), str(Callers(percent=2.5))) == ("acme, globex", "2.5 % of the callers")
