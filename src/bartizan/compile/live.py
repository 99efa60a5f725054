"""Live data as Envoy's filters: where to go, whose tokens count, buckets of limits, lists, blocks. Not part of a revision."""

import functools
import importlib.resources
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from bartizan.compile.routes import Scope
from bartizan.condition import Sources
from bartizan.condition.syntax import call, emitted, index, name
from bartizan.envoy import extension, message, names
from bartizan.envoy.filters import in_turn, nothing, refuse, set_metadata, typed, where
from bartizan.envoy.matching import all_of, any_of, cel, header, metadata, negated, principal, source_in
from bartizan.envoy.names import H_LOGIN_STATUS, H_SOURCE, SESSION_COOKIE
from bartizan.model.consumer import Issuer
from bartizan.model.fields import network
from bartizan.model.gateway import Gateway
from bartizan.policies import Bucket, IpList

_HTTP = "envoy.extensions.filters.http"
_HEADER = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
_EXECUTE = f"{_HTTP}.composite.v3.ExecuteFilterAction"
_TABLE = "--[[TABLE]]"


@dataclass(frozen=True, slots=True)
class ClientCertificates:
    """Whom client certificates mean."""

    cas: Mapping[str, str]
    """A CA's subject as Envoy prints it, then its name in policies."""
    consumers: Mapping[str, str]
    """A certificate's name in the table of keys, then the consumer that lists it, be it disabled."""
    devices: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """A certificate's SHA-256 in hex, then the device that lists it, and its state."""
    bound: frozenset[str] = frozenset()
    """What some policy asks tokens to be bound to."""


def _lua(value: Any) -> str:
    """A value as Lua source. Strings are quoted as JSON, which Lua 5.1 reads alike for what names and paths may hold."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"[{_lua(key)}]={_lua(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "{" + ",".join(_lua(item) for item in value) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = json.dumps(str(value))
    if not str(value).isascii() or "\\u" in text:
        raise ValueError("only ASCII stands in the table")
    return text


@dataclass(frozen=True, slots=True)
class Asked:
    """Which issuers are asked about tokens."""

    opaque: tuple[tuple[str, str], ...] = ()
    """What tokens of each begin with, and its name. The longest beginnings come first."""
    keyed: frozenset[str] = frozenset()
    """Those that have keys."""

    @classmethod
    def of(cls, issuers: Iterable[Issuer]) -> "Asked":
        """Out of all issuers. Nothing if none of them is asked."""
        found = tuple(issuers)
        opaque = [(one.introspection.prefix, one.name) for one in found if one.introspection is not None]
        keyed = frozenset(one.name for one in found if one.has_keys) if opaque else frozenset[str]()
        return cls(tuple(sorted(opaque, key=lambda one: (-len(one[0]), one))), keyed)

    @property
    def names(self) -> frozenset[str]:
        """The issuers that are asked."""
        return frozenset(name for _, name in self.opaque)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the gate has to know of credentials."""

    certificates: ClientCertificates
    asked: Asked = Asked()


def gate(scopes: Iterable[Scope], gateway: Gateway, credentials: Credentials, longest_url: int, paths: Iterable[str]) -> Any:
    """The gate's table of hosts and paths, of whom client certificates mean, and of who is asked about tokens. `paths`: all that any API or
    policy names."""
    by_host: dict[str, dict[str, str]] = {}
    public: dict[str, bool] = {}
    login: dict[str, bool] = {}
    asks: dict[str, bool] = {}
    certificates, asked = credentials.certificates, credentials.asked
    for scope in scopes:
        by_host.setdefault(scope.host, {})[scope.path] = scope.name
        public |= {scope.name: True} if scope.public else {}
        login |= {scope.name: True} if scope.login else {}
        asks |= {scope.name: True} if scope.accepts & asked.names else {}
    table = {
        "hosts": {host: paths for host, paths in by_host.items() if not host.startswith("*")},
        "suffixes": {host[1:]: paths for host, paths in by_host.items() if host.startswith("*.")},
        "any": by_host.get("*", {}),
        "public": public,
        "login": login,
        "session": SESSION_COOKIE if login else False,
        "headers": list(gateway.api_keys.headers),
        "cookies": list(gateway.api_keys.cookies),
        "certificates": dict(certificates.cas) or False,
        "consumers": certificates.consumers if certificates.cas else {},
        "devices": certificates.devices if certificates.cas else {},
        "bound": "certificate" in certificates.bound and bool(certificates.cas),
        "dpop": "dpop" in certificates.bound,
        "asks": asks,
        "opaque": asked.opaque,
        "keyed": dict.fromkeys(sorted(asked.keyed), True),
        "longest": longest_url,
        **_spellings(sorted(set(paths))),
    }
    source = importlib.resources.files("bartizan.compile").joinpath("gate.lua").read_text(encoding="utf-8")
    return message(f"{_HTTP}.lua.v3.Lua", default_source_code={"inline_string": source.replace(_TABLE, _lua(table), 1)})


def _spellings(paths: Sequence[str]) -> dict[str, Any]:
    """What the gate has to know of paths to see that one is a declared one in disguise."""
    spelled: dict[str, list[str]] = {}
    for path in paths:
        spelled.setdefault(path.lower(), []).append(path)
    literal = {ord(character) for path in paths for character in path if not character.isalnum() and character not in "/-._~"}
    return {
        "prefix": max(map(len, paths), default=1),
        "spelled": {small: found[0] if len(found) == 1 else dict.fromkeys(found, True) for small, found in spelled.items()},
        "capitals": any(path != path.lower() for path in paths),
        "literal": dict.fromkeys(sorted(literal), True),
    }


def tokens(
    issuers: Iterable[Issuer], keys: Mapping[str, Sequence[Mapping[str, Any]]], *, noted: Collection[str] = (), own: str = ""
) -> Any:
    """Whose tokens count. `keys`: each issuer's JWKs, already filtered to the algorithms allowed; none yet refuses with 503. `noted`: what
    is noted of them beside attributes: what they are bound to (`certificate`, `dpop`), whose they are (`token`, `session`), and with what
    `passkey` somebody logged in, which only the gateway's `own` issuer knows. Tokens about which an issuer is asked aren't looked at."""
    declared = sorted(issuers, key=lambda one: one.name)
    of = {issuer.name: [one for one in noted if one != "passkey" or issuer.issuer == own] for issuer in declared}
    providers = {one.name: _provider(one, keys.get(one.name, ()), of[one.name]) for one in declared if one.has_keys}
    if not providers:
        return message(f"{_HTTP}.jwt_authn.v3.JwtAuthentication")
    # Who brings a token brings a good one; without one nobody is asked here.
    alternatives = [{"provider_name": name} for name in providers]
    wanted = alternatives[0] if len(alternatives) == 1 else {"requires_any": {"requirements": alternatives}}
    headers: list[dict[str, Any]] = [{"name": "authorization", "present_match": True}]
    if any(issuer.introspection is not None for issuer in declared):
        headers.append({"name": names.H_ASKS, "present_match": True, "invert_match": True})
    rule = {"match": {"prefix": "/", "headers": headers}, "requires": wanted}
    # Why a token is refused is the record's matter; the challenge is the answer's.
    return message(f"{_HTTP}.jwt_authn.v3.JwtAuthentication", providers=providers, rules=[rule], strip_failure_response=True)


def _provider(issuer: Issuer, keys: Sequence[Mapping[str, Any]], noted: Collection[str]) -> dict[str, Any]:
    headers = [{"header_name": names.subject_header(issuer.name), "claim_name": "sub"}]
    headers += [{"header_name": names.claim_header(attribute), "claim_name": claim} for attribute, claim in issuer.attributes.items()]
    headers += [{"header_name": header, "claim_name": claim} for what, header, claim in _NOTED if what in noted]
    if issuer.groups:
        headers.append({"header_name": names.claim_header("groups"), "claim_name": issuer.groups})
    return {
        "issuer": issuer.issuer,
        "audiences": list(issuer.audiences),
        **_keys(keys),
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "forward": True,  # routes take it out, but for those that pass it on
        "require_expiration": True,
        # Envoy takes 0 for its own default of a minute, so none is a second.
        "clock_skew_seconds": max(1, int(issuer.clock_skew.total_seconds())),
        "claim_to_headers": headers,
        **({"header_in_metadata": _header_key(issuer)} if issuer.types else {}),
        "jwt_cache_config": {"jwt_cache_size": 10_000, "jwt_max_token_size": 8192},
    }


def mistyped(issuers: Iterable[Issuer]) -> list[tuple[str, Any]]:
    """Tokens of a type that their issuer doesn't name. The token filter doesn't look at it; media types know no case, and may be written
    without `application/` (RFC 7515, section 4.1.9)."""
    found = []
    for issuer in sorted((one for one in issuers if one.types), key=lambda one: one.name):
        named = "|".join(re.escape(one.lower().removeprefix("application/")) for one in issuer.types)
        regex = {"regex": f"(?i)(?:application/)?(?:{named})"}
        fits = metadata(names.JWT, (_header_key(issuer), "typ"), string_match={"safe_regex": regex})
        signed = [negated(header(names.H_ASKS, **_PRESENT))] if issuer.introspection is not None else []
        found.append((names.WRONG_TYPE, all_of([principal("method", "jwt"), principal("issuer", issuer.name), *signed, negated(fits)])))
    return found


def login(anywhere: bool) -> Any:
    """On routes that say how people log in: turns a session into its token, or sends to log in. No cookie of it is left."""
    if not anywhere:
        return nothing()
    source = importlib.resources.files("bartizan.compile").joinpath("session.lua").read_text(encoding="utf-8")
    code = source.replace("--[[PREFIX]]", SESSION_COOKIE.replace("-", "%-"))
    strip = message(f"{_HTTP}.lua.v3.Lua", default_source_code={"inline_string": code})
    brought = any_of([header("cookie", contains=SESSION_COOKIE), header(H_LOGIN_STATUS, **_PRESENT)])
    return in_turn([typed(names.LOGIN, message(f"{_HTTP}.oauth2.v3.OAuth2")), typed(names.SESSION, where(brought, "strip", strip))])


def unasked(issuers: Iterable[Issuer]) -> list[tuple[str, Any]]:
    """What refuses tokens of which an issuer says that they don't count, and those about which it couldn't be asked."""
    if not any(one.introspection is not None for one in issuers):
        return []
    return [(names.INACTIVE, header(names.H_VERDICT, exact="inactive")), (names.UNASKED, header(names.H_VERDICT, exact="unasked"))]


_PRESENT = {"safe_regex": {"google_re2": {}, "regex": r"\C*"}}
_NOTED = (
    ("certificate", names.H_CONFIRMATION, "cnf.x5t#S256"),
    ("dpop", names.H_JKT, "cnf.jkt"),
    ("token", names.H_JTI, "jti"),
    ("session", names.H_SID, "sid"),
    ("passkey", names.H_PASSKEY, "passkey"),
)
"""Claims that aren't attributes: what for, into which header, and which."""


def unproven(bound: Collection[str]) -> list[tuple[str, Any]]:
    """What refuses tokens that are bound to something which wasn't proven, whatever the policies say."""
    found = _uncertified() if "certificate" in bound else []
    if "dpop" in bound:
        proven = header(names.H_PROOF, exact="dpop")
        found.append((names.UNPROVEN, all_of([header(names.H_JKT, **_PRESENT), negated(proven)])))
    return found


def _uncertified() -> list[tuple[str, Any]]:
    """Tokens bound to another certificate than came with them (RFC 8705, section 3); and certificates beside tokens that are bound to none:
    those are a second credential, unless they are a device's."""
    bound, shown = header(names.H_CONFIRMATION, **_PRESENT), header(names.H_THUMBPRINT, **_PRESENT)
    headers = name("request.headers")
    same = call("_==_", index(headers, names.H_THUMBPRINT), index(headers, names.H_CONFIRMATION))
    proven = all_of([shown, cel(emitted(same, "cel.expr.Expr"))])
    beside = all_of([shown, negated(bound), negated(header(names.H_DEVICE, **_PRESENT))])
    return [(names.UNPROVEN, all_of([bound, negated(proven)])), (names.UNBOUND, beside)]


def _header_key(issuer: Issuer) -> str:
    return f"header/{issuer.name}"


def _keys(keys: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The keys inline; with none, a place where none can be fetched: Envoy takes no empty set, and refuses such tokens with 503."""
    if keys:
        return {"local_jwks": {"inline_string": orjson.dumps({"keys": list(keys)}).decode()}}
    nowhere = {"uri": "http://nowhere.invalid/", "cluster": "nowhere", "timeout": {"seconds": 1}}
    return {"remote_jwks": {"http_uri": nowhere, "cache_duration": {"seconds": 600}}}


def limits(shard: int, buckets: Collection[Bucket]) -> Any:
    """One shard's buckets. Routes carry the descriptors; here is only how much each may."""
    if not buckets:
        return nothing()
    unlimited = {"max_tokens": 4_000_000_000, "tokens_per_fill": {"value": 4_000_000_000}, "fill_interval": {"seconds": 1}}
    always = {"default_value": {"numerator": 100}}
    return message(
        f"{_HTTP}.local_ratelimit.v3.LocalRateLimit",
        stat_prefix=names.limits(shard),
        stage=shard,
        token_bucket=unlimited,
        filter_enabled=always,
        filter_enforced=always,
        descriptors=[_descriptor(bucket) for bucket in sorted(buckets, key=lambda one: one.entries)],
        max_dynamic_descriptors={"value": 200_000},
        always_consume_default_token_bucket={"value": False},
        enable_retry_after_header=True,
        rate_limited_as_resource_exhausted=True,
    )


def _descriptor(bucket: Bucket) -> dict[str, Any]:
    return {
        "entries": [{"key": key, **({"value": value} if value else {})} for key, value in bucket.entries],
        "token_bucket": {
            "max_tokens": bucket.burst,
            "tokens_per_fill": {"value": bucket.count},
            "fill_interval": {"seconds": bucket.period_s},
        },
        "shadow_mode": bucket.shadow,
    }


def blocks(networks: Iterable[str], brakes: Sequence[tuple[str, Any]] = ()) -> Any:
    """Sources that are refused whatever they send, and what emergency brakes refuse before any credential is looked up."""
    ranges = [_range(one) for one in sorted(set(networks))]
    return refuse([*brakes, *([("blocked-source", source_in(ranges))] if ranges else [])], names.BLOCKS)


def brakes(refusals: Sequence[tuple[str, Any]]) -> Any:
    """What emergency brakes refuse when it is known who calls."""
    return refuse(refusals, names.BRAKES)


def lists(held: Iterable[IpList], sources: Sources) -> Any:
    """The big lists, each looked up once a request; what policies ask is noted: whether the caller is in or out."""
    return _lists(tuple(sorted(set(held), key=lambda one: one.name)), sources)


@functools.lru_cache(maxsize=4)
def _lists(found: tuple[IpList, ...], sources: Sources) -> Any:
    """Kept, because most edits leave the lists alone."""
    if not found:
        return nothing()
    each = [_list(one, H_SOURCE if sources.address == "header" else None) for one in found]
    if len(each) == 1:
        return each[0]
    chain = [extension(one.name, body) for one, body in zip(found, each, strict=True)]
    all_lists = extension("lists", message(_EXECUTE, filter_chain={"typed_config": chain}))
    return message(f"{_HTTP}.composite.v3.Composite", matcher={"on_no_match": {"action": all_lists}})


def _list(one: IpList, header_name: str | None) -> Any:
    def note(where: str) -> dict[str, Any]:
        noted = extension("note", set_metadata(names.LISTS, {one.name: where}))
        return {"action": extension("note", message(_EXECUTE, typed_config=noted))}

    predicate = source_in([_range(item) for item in one.networks], header_name)
    found = {"matchers": [{"predicate": predicate, "on_match": note("in")}]}
    return message(f"{_HTTP}.composite.v3.Composite", matcher={"matcher_list": found, "on_no_match": note("out")})


def _range(text: str) -> tuple[str, int]:
    parsed = network(text)
    return str(parsed.network_address), parsed.prefixlen
