"""The one principal: whatever the credential, it ends in the dynamic metadata `bartizan.principal`.

Each way in leaves headers of ours behind (nobody else can set them: they are removed from what comes in), and one
`header_to_metadata` filter lifts them. What isn't there, or isn't what its attribute was declared to be, sets no key.

| credential | header | becomes |
|---|---|---|
| API key | `x-bartizan-principal` | method, id, key, groups and every attribute, out of the fields of `table.py` |
| token | `x-bartizan-sub-<issuer>` | method, issuer, and id as `<issuer's URL>|<subject>` |
| token | `x-bartizan-claim-<attribute>` | the attribute (or groups) |
| client certificate | `x-bartizan-ca` | method and issuer |
| client certificate of no consumer | `x-bartizan-cert` | id |
| client certificate of a device | `x-bartizan-device`, `x-bartizan-device-trusted` | device_id and device_trusted, whoever calls |
| token bound to a certificate, or proven by DPoP | `x-bartizan-cnf`, `x-bartizan-proof` | bound |
| client certificate of a consumer | `x-bartizan-principal` | as of an API key, but for the method |

Beside it stands where the request comes from, as databases tell it: `source.country` and its like, out of `x-bartizan-place-<name>`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bartizan.compile import Compiled
from bartizan.condition.schema import DEVICE
from bartizan.envoy import extension, message, names
from bartizan.identity.table import PRINCIPAL_HEADER, fields_of, order_mark
from bartizan.model.attributes import name_problem
from bartizan.model.context import STAMP
from bartizan.model.snapshot import Snapshot
from bartizan.policies.authenticate import bindings
from bartizan.policies.tls import Tls

NAMESPACE = "bartizan.principal"
CERTIFICATE_HEADER = "x-bartizan-cert"
CA_HEADER = "x-bartizan-ca"
_NEVER = "x-bartizan-never"

Rule = dict[str, Any]

# The rewrites below match whatever text there is, and what isn't wanted ends in an alternative where `\1` is empty and no key is set: a
# rewrite that doesn't match would leave the whole text as the value. \C is any byte, so that no sequence of bytes escapes.


def _field(at: int, mark: str) -> str:
    """The field at this place of an entry with this mark. Each byte leaves one way to go on, which RE2 reads in one pass; a text may end
    anywhere."""
    pattern = r"([^;]*)(?:;\C*)?"
    for _ in range(at):
        pattern = rf"[^;]*(?:;{pattern})?"
    for letter in reversed(mark):
        pattern = rf"(?:{letter}{pattern}|[^{letter}]\C*)?"
    return f"^{pattern}$"


# jwt_authn writes a claim into its header as text: a number by C++'s to_string, a list or an object as base64 of JSON. What the
# declared type can't have written is dropped. "inf", "nan" and what has too many digits
# would become numbers that JSON doesn't have, and break the record.
_NUMBER = r"^(?:(-?[0-9]{1,15}(?:\.[0-9]{1,9})?)|\C*)$"
_BOOL = r"^(?:(true|false)|\C*)$"
# Base64 of what begins with "[" begins with W; "{" doesn't.
_LIST = r"^(?:(W[A-Za-z0-9+/]+={0,2})|\C*)$"
# A claim declared as a string that is a list or an object: base64 of what begins with [" [[ [{ [] [0-9 [t [f [n [- or {" {}.
_BASE64 = r"(?:W(?:y[I-L0-3]|1[s-v0]|3[s-vQ-T]|z[A-Za-n]|2[Y-b4-7])|e(?:y[I-L]|30))[A-Za-z0-9+/]*={0,2}"
_NOT_STRING = rf"^{_BASE64}$"
# Nor may words look like a list.
_NOT_WORDS = rf'^(?:{_BASE64}|[^"]*"\C*)$'
_CLAIMS = {
    "number": (_NUMBER, r"\1"),
    "bool": (_BOOL, r"\1"),
    "list": (_LIST, r"\1"),
    "string": (_NOT_STRING, ""),
    "words": (_NOT_WORDS, ""),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of principals has to be known, by default everything."""

    asked: frozenset[str] | None = None
    """The attributes, `groups`, and what is told of places, that policies or upstreams may ask for: each costs a request half a
    microsecond."""
    certificates: bool = True
    """Whether some listener takes client certificates, or some policy proofs: both may tell a device."""
    formerly: Mapping[str, str] | None = None
    """Other attributes with their types that tables may still be written with."""
    written: tuple[Mapping[str, str], ...] = ()
    """Those that tables are written with: what the files declare, which needn't be what is served."""
    coming: Mapping[str, str] | None = None
    """Those that what is on its way out declares: as a canary it may ask for them already."""
    places: Mapping[str, str] | None = None
    """What databases tell of places, with its types."""
    contextual: Mapping[str, str] = field(default_factory=dict)
    """The attributes that context sources tell, with the stamp of each one's source: they are lifted where it is known how old they are."""


def wanted_of(
    compiled: Compiled, before: Compiled | None, candidate: Compiled | None = None, written: tuple[Mapping[str, str], ...] = ()
) -> Wanted:
    """What has to be known for what is compiled. What `before` asked for stays for as long as a request may meet a route or a table of it.
    What a `candidate` asks for is noted too, so that the records tell what it would decide."""
    served = (compiled, before) if before is not None else (compiled,)
    asking = (*served, candidate) if candidate is not None else served
    # Which device a stream comes from is told of each, so that it ends when the device is lost.
    enrolled = frozenset({"device_id"}) if any(one.snapshot.devices for one in served) else frozenset[str]()
    return Wanted(
        enrolled.union(*(one.asked() for one in asking)),
        any(
            _takes_certificates(one.snapshot) or "dpop" in bindings(one.snapshot.policies) or _has_passkeys(one.snapshot) for one in served
        ),
        served[-1].snapshot.told(),
        written,
        candidate.snapshot.told() if candidate is not None else None,
        {name: kind for one in asking for name, kind in one.snapshot.gateway.places.told().items()},
        {name: source.stamp for one in reversed(asking) for source in one.snapshot.contexts.values() for name in source.attributes},
    )


def _takes_certificates(snapshot: Snapshot) -> bool:
    return any(isinstance(policy, Tls) and policy.client_cas for policy in snapshot.policies)


def _has_passkeys(snapshot: Snapshot) -> bool:
    return any(device.passkeys for device in snapshot.devices.values())


def principal_of(compiled: Compiled, generation: int, wanted: Wanted) -> bytes:
    """The rules for what is compiled."""
    issuers = compiled.snapshot.issuers
    return principal_rules(compiled.snapshot.told(), {issuer.name: issuer.issuer for issuer in issuers.values()}, generation, wanted)


def principal_rules(attributes: Mapping[str, str], issuers: Mapping[str, str], generation: int = 0, wanted: Wanted | None = None) -> bytes:
    """The serialized TypedExtensionConfig `principal`: attributes with their types, issuers' names with their URLs.

    `generation` is noted for the record: the credentials that a request is checked against are at least that new.
    """
    wanted = wanted or Wanted()
    for name in attributes:
        if not name.startswith(STAMP) and (problem := name_problem(name)):
            raise ValueError(f"attribute {name!r} {problem}")
    types = asked_types(attributes, wanted)
    stamps = {stamp: "number" for name, stamp in wanted.contextual.items() if name in types}
    types = {name: kind for name, kind in types.items() if name not in wanted.contextual}
    noted = constant(NAMESPACE, "generation", str(generation))
    keys = [_rule(PRINCIPAL_HEADER, "method", value="api_key")]
    keys += lifted(attributes, {"id": "string", "key": "string", **types, **stamps}, wanted)
    certified = [*_certificate_rules(), *_shown_rules(wanted.asked)] if wanted.certificates else []
    if wanted.asked is None or "bound" in wanted.asked:
        # What isn't proven is refused behind this, whatever is noted.
        keys += [_rule(names.H_CONFIRMATION, "bound", value="certificate"), _rule(names.H_PROOF, "bound", value="dpop")]
    rules = [noted, *keys, *_token_rules(types, issuers), *certified]
    told = (wanted.places or {}).items()
    rules += [_place_rule(name, kind) for name, kind in told if wanted.asked is None or name in wanted.asked]
    config = message("envoy.extensions.filters.http.header_to_metadata.v3.Config", request_rules=rules)
    resource = message("envoy.config.core.v3.TypedExtensionConfig", **extension("principal", config))
    return bytes(resource.SerializeToString(deterministic=True))


def asked_types(attributes: Mapping[str, str], wanted: Wanted) -> dict[str, str]:
    """The attributes that have to be known, and `groups`, with their types. Routes of before may still ask for what is declared no more:
    missing, it could make a Deny not hold."""
    declared = {"groups": "list", **(wanted.coming or {}), **(wanted.formerly or {}), **attributes}
    asked = (name for name in declared if wanted.asked is None or name in wanted.asked)
    return {name: declared[name] for name in asked if not name.startswith(STAMP)}


def lifted(attributes: Mapping[str, str], types: Mapping[str, str], wanted: Wanted, header: str = PRINCIPAL_HEADER) -> Iterable[Rule]:
    """What lifts fields of these types out of a consumer's entry in `header`, in whatever order tables may be written with."""
    orders = {order_mark(one): one for one in (attributes, *((wanted.formerly,) if wanted.formerly else ()), *wanted.written)}
    for mark, order in orders.items():
        own = mark == order_mark(attributes)
        for at, name in enumerate(fields_of(order)):
            if name in types and (own or order.get(name, types[name]) == types[name]):
                yield _rule(header, name, rewrite=(_field(at, mark), r"\1"), number=types[name] == "number")


def constant(namespace: str, key: str, value: str) -> Rule:
    """What notes this of every request."""
    return {"header": _NEVER, "on_header_missing": {"metadata_namespace": namespace, "key": key, "value": value}}


def _token_rules(types: Mapping[str, str], issuers: Mapping[str, str]) -> Iterable[Rule]:
    for name, url in sorted(issuers.items()):
        header = names.subject_header(name)
        yield _rule(header, "method", value="jwt")
        yield _rule(header, "issuer", value=name)
        yield _rule(header, "id", rewrite=("^", url.replace("\\", "\\\\") + "|"))
    for name, kind in types.items():
        for form in ("list", "words") if kind == "words" else (kind,):
            yield _claim_rule(name, form)


def _claim_rule(name: str, kind: str) -> Rule:
    return _rule(names.claim_header(name), name, rewrite=_CLAIMS[kind], number=kind == "number", base64=kind == "list")


def _certificate_rules() -> Iterable[Rule]:
    yield _rule(CA_HEADER, "method", value="mtls")
    yield _rule(CA_HEADER, "issuer")
    yield _rule(CERTIFICATE_HEADER, "id")


def _shown_rules(asked: frozenset[str] | None) -> Iterable[Rule]:
    """The device of the certificate; instead, that of the key which the proof was made with."""
    certificate, key = (names.H_DEVICE, names.H_TRUSTED), (names.H_KEYED, names.H_KEYED_TRUSTED)
    for shown in (certificate, key):
        yield from (_rule(header, name) for header, name in zip(shown, DEVICE, strict=True) if asked is None or name in asked)


def _place_rule(name: str, kind: str) -> Rule:
    """A truth that is neither true nor false isn't known."""
    return _rule(names.place_header(name), name, number=kind == "number", **({"rewrite": _CLAIMS[kind]} if kind != "string" else {}))


def _rule(header: str, key: str, **how: Any) -> Rule:
    pair: dict[str, Any] = {"metadata_namespace": NAMESPACE, "key": key}
    if "value" in how:
        pair["value"] = how["value"]
    if "rewrite" in how:
        pattern, substitution = how["rewrite"]
        pair["regex_value_rewrite"] = {"pattern": {"regex": pattern}, "substitution": substitution}
    if how.get("number"):
        pair["type"] = "NUMBER"
    if how.get("base64"):
        pair["encode"] = "BASE64"
    return {"header": header, "on_header_present": pair}
