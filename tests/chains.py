"""A route's chain, read back from what Envoy is given: which policies are asked by which filter, in what order, and who refuses."""

from dataclasses import dataclass
from typing import Any

from bartizan.envoy import message_type, to_dict

_RBAC = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"


@dataclass(frozen=True, slots=True)
class Step:
    """One filter of a chain."""

    name: str
    asks: tuple[str, ...] = ()
    """Who refuses where its predicate doesn't hold, in the order that they are asked."""
    notes: tuple[str, ...] = ()
    """The same for verdicts that are only noted."""


def steps(chain: Any, *, websocket: bool = False) -> list[Step]:
    """The filters of a CompositePerRoute, or those of a request that opens a WebSocket."""
    matcher = to_dict(message_type("envoy.extensions.filters.http.composite.v3.CompositePerRoute").FromString(chain.value))["matcher"]
    run = matcher["on_no_match"]
    if "matcher_list" in matcher:
        (opened,) = matcher["matcher_list"]["matchers"]
        run = opened["on_match"] if websocket else run
    return [_step(one) for one in run["action"]["typed_config"]["filter_chain"]["typed_config"]]


def _step(one: dict[str, Any]) -> Step:
    config = one["typed_config"]
    if config["@type"] != _RBAC:
        return Step(one["name"])
    return Step(one["name"], tuple(_asked(config.get("matcher"))), tuple(_asked(config.get("shadow_matcher"))))


def _asked(matcher: dict[str, Any] | None) -> list[str]:
    """Each refuses by its own name, and only where it holds is the next one asked; the last one lets through."""
    if matcher is None:
        return []
    refusal = matcher["on_no_match"]["action"]
    assert refusal["typed_config"] == {"@type": refusal["typed_config"]["@type"], "name": refusal["name"], "action": "DENY"}
    ((found),) = matcher["matcher_list"]["matchers"]
    assert not found["on_match"].get("keep_matching")
    if "matcher" in found["on_match"]:
        return [refusal["name"], *_asked(found["on_match"]["matcher"])]
    allowed = found["on_match"]["action"]["typed_config"]
    assert (allowed["name"], allowed.get("action", "ALLOW")) == (refusal["name"], "ALLOW")
    return [refusal["name"]]
