"""What context sources say, as Envoy's filters: it becomes an attribute of the principal only where it is known to be young enough.

`subjects` puts what is said of principals that are no consumers into a header of ours, in the form of a consumer's entry in the tables of
keys. `context` then lifts a source's attributes out of the entry, if Envoy's own clock says that they count: without a control plane, too.
So what is stale, or can't be told, is missing, and a condition that reads it isn't true, whichever way round.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bartizan.condition.syntax import Ast, call, const, emitted, index, joined, name
from bartizan.envoy import message, names
from bartizan.envoy.filters import execute, execute_all, in_turn, nothing, set_metadata, typed, where
from bartizan.envoy.matching import all_of, cel, header, metadata, negated
from bartizan.identity.principal import NAMESPACE, Rule, Wanted, asked_types, constant, lifted
from bartizan.identity.table import PRINCIPAL_HEADER, ConsumerView, identity
from bartizan.model.attributes import attribute_text
from bartizan.model.context import ContextSource

AHEAD_S = 60.0
"""By how much a control plane's clock may be before a node's: what was said later than that, by Envoy's clock, isn't believed."""
_FIRST_TIME = 1e9
"""Stamps from here on are times; those below count what was said all at once."""
_LATEST_TIME = 1e12
_NOW = name("request.time")
_STAMPS = index(name("metadata.filter_metadata"), NAMESPACE)
_LUA = """
local told = {}
for subject, entry in string.gmatch([LEVEL[
TABLE]LEVEL], "([^\\t]+)\\t([^\\n]*)\\n") do told[subject] = entry end
function envoy_on_request(handle)
  local known = handle:streamInfo():dynamicMetadata():get("NAMESPACE")
  local entry = known and known["id"] and told[known["id"]]
  if entry then handle:headers():replace("HEADER", entry) end
end
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What has to be known of contexts."""

    attributes: Mapping[str, str]
    """What is served tells of a principal: `Snapshot.told`."""
    wanted: Wanted
    sources: Mapping[str, ContextSource]

    def types(self, source: ContextSource) -> dict[str, str]:
        """The attributes of this source that somebody asks for."""
        types = asked_types(self.attributes, self.wanted)
        return {one: types[one] for one in source.attributes if one in types and self.wanted.contextual.get(one) == source.stamp}

    def needed(self) -> tuple[ContextSource, ...]:
        """The sources of which somebody asks something, in order."""
        return tuple(one for _, one in sorted(self.sources.items()) if self.types(one))


def entry(values: Mapping[str, Any], fields: Mapping[str, str]) -> str:
    """What is said of a principal that is no consumer, in the form of a consumer's entry with these fields."""
    told = {one: tuple(value) if isinstance(value, list) else value for one, value in values.items()}
    return "-".join(identity(ConsumerView("-", (), told), fields))


def subjects(entries: Mapping[str, str], asked: Asked) -> Any:
    """The filter that finds these entries by the principal's id. It isn't there if nobody asks, or nothing is said of such."""
    stamps = {one.stamp: "number" for one in asked.needed()}
    if not entries or not stamps:
        return nothing()
    present = header(PRINCIPAL_HEADER, safe_regex={"google_re2": {}, "regex": r"\C*"})
    found = message("envoy.extensions.filters.http.lua.v3.Lua", default_source_code={"inline_string": _table(entries)})
    lift = _lift(lifted(asked.attributes, stamps, asked.wanted, names.H_CONTEXT))
    return in_turn([typed("found", where(negated(present), "found", found)), typed("stamps", lift)])


def _table(entries: Mapping[str, str]) -> str:
    text = "".join(f"{subject}\t{one}\n" for subject, one in sorted(entries.items()))
    level = "="
    while f"]{level}]" in text or text.endswith(f"]{level}"):
        level += "="
    code = _LUA.replace("NAMESPACE", NAMESPACE).replace("HEADER", names.H_CONTEXT).replace("LEVEL", level)
    return re.sub("TABLE", lambda _: text, code, count=1)


def fresh(asked: Asked, counting: Mapping[str, tuple[int, float]]) -> Any:
    """The filter that lifts what counts now. `counting`: the sources of which all that they said at once counts, with its epoch and when it
    was said (seconds since the epoch of time)."""
    needed = asked.needed()
    return in_turn([typed(one.name, _of_source(one, asked, counting.get(one.name))) for one in needed]) if needed else nothing()


def _of_source(source: ContextSource, asked: Asked, whole: tuple[int, float] | None) -> Any:
    rules = [*_rules(source, asked, PRINCIPAL_HEADER), *_rules(source, asked, names.H_CONTEXT)]
    by_itself = [*rules, *_noted(source, asked, PRINCIPAL_HEADER), *_noted(source, asked, names.H_CONTEXT)]
    at_once = [*rules, constant(names.CONTEXT_AGES, source.name, str(whole[1]))] if whole is not None else rules
    keep = source.stale == "keep"
    times = _stamp(source, {"range": {"start": _FIRST_TIME, "end": _LATEST_TIME}})
    matchers = [_then(times if keep else all_of([times, cel(emitted(_young(source)))]), "own", _lift(by_itself))]
    if whole is not None:
        written = _stamp(source, {"exact": float(whole[0])})
        matchers.append(_then(written if keep else all_of([written, cel(emitted(_until(source, whole[1])))]), "whole", _lift(at_once)))
    known = metadata(NAMESPACE, (source.stamp,), present_match=True)
    matchers.append({"predicate": known, "on_match": {"action": execute_all(_stale(source, asked))}})
    return message("envoy.extensions.filters.http.composite.v3.Composite", matcher={"matcher_list": {"matchers": matchers}})


def _then(predicate: Any, what: str, inner: Any) -> dict[str, Any]:
    return {"predicate": predicate, "on_match": {"action": execute(what, inner)}}


def _stamp(source: ContextSource, matches: dict[str, Any]) -> Any:
    return metadata(NAMESPACE, (source.stamp,), double_match=matches)


def _young(source: ContextSource) -> Ast:
    """What was said by itself isn't older than it may be."""
    ago = call("_-_", call("double", call("int", _NOW)), index(_STAMPS, source.stamp))
    return joined("_&&_", [call("_<=_", ago, const(source.max_age.total_seconds())), call("_>_", ago, const(-AHEAD_S))])


def _until(source: ContextSource, at: float) -> Ast:
    """What was said all at once isn't older than it may be."""
    ends, begins = (call("timestamp", const(_rfc3339(moment))) for moment in (at + source.max_age.total_seconds(), at - AHEAD_S))
    return joined("_&&_", [call("_<=_", _NOW, ends), call("_>_", _NOW, begins)])


def _rfc3339(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rules(source: ContextSource, asked: Asked, where_from: str) -> Iterable[Rule]:
    return lifted(asked.attributes, asked.types(source), asked.wanted, where_from)


def _noted(source: ContextSource, asked: Asked, where_from: str) -> Iterable[Rule]:
    """When it was said, for the record."""
    for rule in lifted(asked.attributes, {source.stamp: "number"}, asked.wanted, where_from):
        rewrite = rule["on_header_present"]["regex_value_rewrite"]
        pair = {"metadata_namespace": names.CONTEXT_AGES, "key": source.name, "regex_value_rewrite": rewrite}
        yield {"header": where_from, "on_header_present": pair}


def _stale(source: ContextSource, asked: Asked) -> list[Any]:
    """What holds of a subject of whom nothing counts any more."""
    types = asked.types(source)
    stands = {one: _as_noted(value) for one, value in source.defaults.items() if one in types}
    note = set_metadata(names.CONTEXT_AGES, {source.name: "stale"})
    return [typed("stale", note), *([typed("instead", set_metadata(NAMESPACE, stands))] if stands else [])]


def _as_noted(value: Any) -> Any:
    """A value as the principal's rules would note it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return attribute_text(tuple(value) if isinstance(value, list) else value)


def _lift(rules: Iterable[Rule]) -> Any:
    return message("envoy.extensions.filters.http.header_to_metadata.v3.Config", request_rules=list(rules))
