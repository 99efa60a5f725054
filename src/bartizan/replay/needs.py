"""What a policy asks of a request, read off the predicate that it compiles to: so that nobody has to say it of any kind."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

from bartizan.condition import Schema, Sources
from bartizan.condition.schema import DEVICE
from bartizan.envoy import message_type, names
from bartizan.model.places import is_place
from bartizan.model.snapshot import Snapshot
from bartizan.policies import Place, PolicyKind

SCRATCH = Sources(time="header", address="header")
"""Where a scratch instance takes time and address from: its predicates are those that are read."""
KNOWN_HEADERS = {
    ":method": "request.method",
    ":path": "request.path",
    ":authority": "request.host",
    ":scheme": "request.scheme",
    "user-agent": "device.type",
    "content-length": "request.size",
    names.H_NOW: "now",
    names.H_SOURCE: "source.ip",
    names.H_JA4: "device.ja4",
    names.H_SECURE: "request.tls",
}
_CEL_NAMES = {
    "request.url_path": "request.path",
    "request.method": "request.method",
    "request.host": "request.host",
    "request.scheme": "request.scheme",
    "source.address": "source.ip",
    "connection.sha256_peer_certificate_digest": "device.certificate",
}
_METADATA = "metadata.filter_metadata"
_PRINCIPAL = f"{_METADATA}[{names.PRINCIPAL}]"
_HEADERS = "request.headers"
_HEADER_INPUT = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
_METADATA_INPUT = "envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput"
_SOURCE_INPUT = "envoy.extensions.matching.common_inputs.network.v3.SourceIPInput"
_CEL_INPUT = "xds.type.matcher.v3.HttpAttributesCelMatchInput"
_CEL_MATCHER = "xds.type.matcher.v3.CelMatcher"
_EXPR = "cel.expr.Expr"


def needs(policy: PolicyKind, api: str, snapshot: Snapshot) -> frozenset[str]:
    """What the policy asks for on this API, in the words of conditions: `principal.plan`, `now`, `request.headers["x-tenant"]`."""
    found = snapshot.apis[api]
    place = Place(policy.id, False, found, found.paths[0], snapshot.gateway, Schema.of(snapshot.gateway), SCRATCH, snapshot.files)
    permit = policy.compile(place).permit
    return frozenset() if permit is None else frozenset(_of_matcher(permit))


def _of_matcher(predicate: Any) -> Iterator[str]:
    """What a predicate of Envoy's matching API reads."""
    which = predicate.WhichOneof("match_type")
    if which == "not_matcher":
        yield from _of_matcher(predicate.not_matcher)
    elif which in {"or_matcher", "and_matcher"}:
        for one in getattr(predicate, which).predicate:
            yield from _of_matcher(one)
    elif which == "single_predicate":
        yield from _of_input(predicate.single_predicate)


def _of_input(single: Any) -> Iterator[str]:
    kind = single.input.typed_config.type_url.rpartition("/")[2]
    if kind == _CEL_INPUT:
        matcher = _unpacked(single.custom_match.typed_config, _CEL_MATCHER)
        yield from _of_messages(matcher)
    elif kind == _HEADER_INPUT:
        yield header_name(_unpacked(single.input.typed_config, _HEADER_INPUT).header_name)
    elif kind == _METADATA_INPUT:
        source = _unpacked(single.input.typed_config, _METADATA_INPUT)
        yield _of_metadata(source.filter, source.path[0].key)
    else:
        yield "source.ip" if kind == _SOURCE_INPUT else kind


def _unpacked(config: Any, kind: str) -> Any:
    return message_type(kind).FromString(config.value)


def header_name(header: str) -> str:
    """A header in the words of conditions."""
    return KNOWN_HEADERS.get(header.lower(), f'{_HEADERS}["{header.lower()}"]')


def _of_metadata(namespace: str, key: str) -> str:
    if namespace == names.LISTS:
        return "source.ip"
    return _known(key) if namespace == names.PRINCIPAL else f"{_METADATA}[{namespace}]"


def _known(key: str) -> str:
    """What is known of the caller, or of where it calls from."""
    if key in DEVICE:
        return key.replace("_", ".", 1)
    return key if is_place(key) else f"principal.{key}"


def _of_messages(of: Message) -> Iterator[str]:
    """What the CEL expressions inside a message read."""
    if of.DESCRIPTOR.full_name == _EXPR:
        yield from _of_cel(of)
        return
    for field, value in of.ListFields():
        if field.message_type is not None:
            for one in value.values() if _is_map(field) else value if _is_list(field) else (value,):
                if isinstance(one, Message):
                    yield from _of_messages(one)


def _is_list(field: Any) -> bool:
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED)


def _is_map(field: Any) -> bool:
    return bool(field.message_type.GetOptions().map_entry)


def _of_cel(expr: Any) -> Iterator[str]:
    kind = expr.WhichOneof("expr_kind")
    dotted = _dotted(expr)
    if dotted is not None:
        yield from _named(dotted)
    elif kind == "call_expr":
        call = expr.call_expr
        if call.function == "@in" and (held := _dotted(call.args[1])) in {_HEADERS, _METADATA, _PRINCIPAL}:
            yield from _named(f"{held}[{call.args[0].const_expr.string_value}]")
            return
        for part in (*([call.target] if call.HasField("target") else []), *call.args):
            yield from _of_cel(part)
    elif kind != "const_expr" and kind is not None:
        yield from _of_messages(getattr(expr, kind))


def _dotted(expr: Any) -> str | None:
    """A name with its parts, and what it is indexed by: `request.headers[x-tenant]`. None for what isn't one."""
    match expr.WhichOneof("expr_kind"):
        case "ident_expr":
            return str(expr.ident_expr.name)
        case "select_expr":
            base = _dotted(expr.select_expr.operand)
            return None if base is None else f"{base}.{expr.select_expr.field}"
        case "call_expr" if expr.call_expr.function == "_[_]":
            base, at = _dotted(expr.call_expr.args[0]), expr.call_expr.args[1]
            if base is not None and at.WhichOneof("expr_kind") == "const_expr":
                return f"{base}[{at.const_expr.string_value}]"
    return None


def _named(dotted: str) -> Iterator[str]:
    """A name of CEL's in the words of conditions. Names of types are no reading."""
    if dotted.startswith(f"{_HEADERS}["):
        yield header_name(dotted[len(_HEADERS) + 1 : -1])
    elif dotted.startswith(f"{_PRINCIPAL}["):
        yield _known(dotted[len(_PRINCIPAL) + 1 : -1])
    elif dotted not in {f"{_METADATA}[{names.PRINCIPAL}]", "string", "double", "bool", "int", "timestamp"}:
        yield _CEL_NAMES.get(dotted, dotted)
