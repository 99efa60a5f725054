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
| client certificate of a consumer | `x-bartizan-principal` | as of an API key, but for the method |
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bartizan.envoy import extension, message, names
from bartizan.identity.table import PRINCIPAL_HEADER
from bartizan.model.attributes import name_problem

NAMESPACE = "bartizan.principal"
CERTIFICATE_HEADER = "x-bartizan-cert"
CA_HEADER = "x-bartizan-ca"
_NEVER = "x-bartizan-never"

Rule = dict[str, Any]

# The rewrites below match whatever text there is, and what isn't wanted ends in the second alternative, where `\1` is empty
# and no key is set: a rewrite that doesn't match would leave the whole text as the value. \C is any byte, so that no
# sequence of bytes escapes. The lazy beginning is a third of the cost of a greedy one.
_FIELD = r"^(?:\C*?;{}=([^;]*);\C*|\C*)$"

# jwt_authn writes a claim into its header as text: a number by C++'s to_string, a list or an object as base64 of JSON. What the
# declared type can't have written is dropped. "inf", "nan" and what has too many digits
# would become numbers that JSON doesn't have, and break the record.
_NUMBER = r"^(?:(-?[0-9]{1,15}(?:\.[0-9]{1,9})?)|\C*)$"
_BOOL = r"^(?:(true|false)|\C*)$"
# Base64 of what begins with "[" begins with W; "{" doesn't.
_LIST = r"^(?:(W[A-Za-z0-9+/]+={0,2})|\C*)$"
# A claim declared as a string that is a list or an object: base64 of what begins with [" [[ [{ [] [0-9 [t [f [n [- or {" {}.
_NOT_STRING = r"^(?:W(?:y[I-L0-3]|1[s-v0]|3[s-vQ-T]|z[A-Za-n]|2[Y-b4-7])|e(?:y[I-L]|30))[A-Za-z0-9+/]*={0,2}$"


def principal_rules(attributes: Mapping[str, str], issuers: Mapping[str, str], generation: int = 0) -> bytes:
    """The serialized TypedExtensionConfig `principal`: attributes with their types, issuers' names with their URLs.

    `generation` is noted for the record: the credentials that a request is checked against are at least that new.
    """
    for name in attributes:
        if problem := name_problem(name):
            raise ValueError(f"attribute {name!r} {problem}")
    types = {"groups": "list", **attributes}
    noted = {"header": _NEVER, "on_header_missing": {"metadata_namespace": NAMESPACE, "key": "generation", "value": str(generation)}}
    rules = [noted, *_key_rules(types), *_token_rules(types, issuers), *_certificate_rules()]
    config = message("envoy.extensions.filters.http.header_to_metadata.v3.Config", request_rules=rules)
    resource = message("envoy.config.core.v3.TypedExtensionConfig", **extension("principal", config))
    return bytes(resource.SerializeToString(deterministic=True))


def _key_rules(types: Mapping[str, str]) -> Iterable[Rule]:
    yield _rule(PRINCIPAL_HEADER, "method", value="api_key")
    for name, kind in {"id": "string", "key": "string", **types}.items():
        yield _rule(PRINCIPAL_HEADER, name, rewrite=(_FIELD.format(name), r"\1"), number=kind == "number")


def _token_rules(types: Mapping[str, str], issuers: Mapping[str, str]) -> Iterable[Rule]:
    for name, url in sorted(issuers.items()):
        header = names.subject_header(name)
        yield _rule(header, "method", value="jwt")
        yield _rule(header, "issuer", value=name)
        yield _rule(header, "id", rewrite=("^", url.replace("\\", "\\\\") + "|"))
    for name, kind in types.items():
        yield _claim_rule(name, kind)


def _claim_rule(name: str, kind: str) -> Rule:
    rewrite = {"number": (_NUMBER, r"\1"), "bool": (_BOOL, r"\1"), "list": (_LIST, r"\1"), "string": (_NOT_STRING, "")}[kind]
    return _rule(names.claim_header(name), name, rewrite=rewrite, number=kind == "number", base64=kind == "list")


def _certificate_rules() -> Iterable[Rule]:
    yield _rule(CA_HEADER, "method", value="mtls")
    yield _rule(CA_HEADER, "issuer")
    yield _rule(CERTIFICATE_HEADER, "id")


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
