"""Condition keys: what they are in a request, and how their values are compared.

A text key has one or several cases, of which at most one is there in a request: a fixed beginning, and then perhaps a header or
a part of the principal. So `aws:PrincipalArn` is `arn:aws:iam::<gateway>:user/` and the id of a consumer, or
`arn:aws:sts::<gateway>:federated-user/` and that of somebody else. Numbers, lists, times and addresses are types of their own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from bartizan.condition import Schema, Sources
from bartizan.condition.patterns import found_in
from bartizan.condition.syntax import emitted, has
from bartizan.envoy import names
from bartizan.envoy.matching import cel, header, metadata
from bartizan.envoy.names import PRINCIPAL
from bartizan.policies.resource_policy.glob import CHARACTER, EVERYTHING, Glob, Wild, folded, literal, matches, regex, rests
from bartizan.policies.resource_policy.logic import ANYTHING, Rule, every, opposite, some
from bartizan.policies.resource_policy.notes import Refused
from bartizan.policies.resource_policy.values import ArnGlob

GROUPS = "groups"
Type = Literal["text", "arn", "flag", "truth", "number", "list", "address", "date", "epoch"]
"""`flag` is true or false and nothing else; `truth` is a bool attribute, whose text may be compared too."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a document is compiled."""

    gateway: str
    sources: Sources


@dataclass(frozen=True, slots=True)
class Slot:
    """A string of the request: a header, or a part of the principal."""

    place: Literal["header", "principal"]
    name: str

    def found(self, **match: object) -> Rule:
        """It is there and matches, by the fields of a StringMatcher."""
        if self.place == "principal":
            return metadata(PRINCIPAL, (self.name,), string_match=match)
        if "safe_regex" in match:
            match = {"safe_regex": {"google_re2": {}, "regex": match["safe_regex"]["regex"]}}  # type: ignore[index]
        return header(self.name, **match)

    def like(self, glob: Glob, fold: bool) -> Rule:
        """It is there and matches the pattern."""
        whole, first, last = literal(glob), literal(glob[:-1]), literal(glob[1:])
        if fold:
            return self._regex(regex(glob, folded)) if glob else self.found(exact="")
        if whole is not None:
            return self.found(exact=whole)
        if first and glob[-1] is Wild.MANY:
            return self.found(prefix=first)
        if last and glob[0] is Wild.MANY:
            return self.found(suffix=last)
        return self._regex(regex(glob))

    def _regex(self, pattern: str) -> Rule:
        return self.found(safe_regex={"regex": pattern})

    def readable(self) -> Rule:
        """It is missing, or text: `?` can't count characters in what isn't UTF-8."""
        return some([opposite(self.like(EVERYTHING, False)), self._regex(f"{CHARACTER}*")])


Guard = Callable[[Sources], Rule]
ID = Slot("principal", "id")
IDENTIFIED = metadata(PRINCIPAL, ("id",), string_match={"safe_regex": {"regex": ANYTHING}})
_CONSUMER = metadata(PRINCIPAL, ("id",), string_match={"safe_regex": {"regex": r"[^|]*"}})
_FEDERATED = metadata(PRINCIPAL, ("id",), string_match={"safe_regex": {"regex": found_in(r"\|")}})


def _always(_: Sources) -> Rule:
    return True


def _identified(_: Sources) -> Rule:
    return IDENTIFIED


def consumer(_: Sources) -> Rule:
    """A consumer's name holds no `|`; every other id does."""
    return _CONSUMER


def federated(_: Sources) -> Rule:
    return _FEDERATED


def _secure(sources: Sources) -> Rule:
    """By the connection itself: `:scheme` is the caller's to say. A scratch instance has no TLS, so there a header says it."""
    if sources.address == "header":
        return header(names.H_SECURE, exact="true")
    return cel(emitted(has("connection.tls_version")))


def _insecure(sources: Sources) -> Rule:
    return opposite(_secure(sources))


@dataclass(frozen=True, slots=True)
class Case:
    """One form that a text key's value may have."""

    before: str = ""
    slot: Slot | None = None
    guard: Guard = _always

    def like(self, glob: Glob, fold: bool, setting: Setting) -> Rule:
        """The value has this form and matches the pattern."""
        remaining = rests(glob, self.before.replace("<gateway>", setting.gateway), fold=fold)
        if self.slot is None:
            found: Rule = any(matches(rest, "") for rest in remaining)
        else:
            found = some(self.slot.like(rest, fold) for rest in remaining)
        return every([self.guard(setting.sources), found]) if found is not False else False

    def like_arn(self, arn: ArnGlob, setting: Setting) -> Rule:
        """The value has this form and matches the pattern of an ARN, part by part."""
        *fixed, last = self.before.replace("<gateway>", setting.gateway).split(":", 5)
        if self.slot is None or not all(matches(glob, part) for glob, part in zip(arn.parts, fixed, strict=False)):
            return False
        found = some(self.slot.like(rest, False) for rest in rests(arn.parts[-1], last))
        return every([self.guard(setting.sources), found]) if found is not False else False


@dataclass(frozen=True, slots=True)
class Key:
    """A condition key."""

    name: str
    type: Type
    cases: tuple[Case, ...] = ()
    attribute: str = ""
    """The attribute, for keys that are numbers or lists."""

    def like(self, globs: Sequence[Glob], fold: bool, setting: Setting) -> Rule:
        """It is there, and matches one of the patterns."""
        return some(case.like(glob, fold, setting) for case in self.cases for glob in globs)

    def like_arn(self, arns: Sequence[ArnGlob], setting: Setting) -> Rule:
        """It is there, and matches one of the patterns of ARNs."""
        return some(case.like_arn(arn, setting) for case in self.cases for arn in arns)

    def is_there(self, setting: Setting) -> Rule:
        """It is there, and a text."""
        return self.like([EVERYTHING], False, setting)

    def slots(self) -> Iterator[Slot]:
        """The strings of the request that it reads."""
        yield from (case.slot for case in self.cases if case.slot is not None)


_KEYS = (
    Key("aws:SourceIp", "address"),
    Key("aws:CurrentTime", "date"),
    Key("aws:EpochTime", "epoch"),
    Key("aws:SecureTransport", "flag", (Case("true", guard=_secure), Case("false", guard=_insecure))),
    Key("aws:UserAgent", "text", (Case(slot=Slot("header", "user-agent")),)),
    Key("aws:Referer", "text", (Case(slot=Slot("header", "referer")),)),
    Key("aws:userid", "text", (Case(slot=ID),)),
    Key("aws:username", "text", (Case(slot=ID, guard=consumer),)),
    Key("aws:PrincipalAccount", "text", (Case("<gateway>", guard=_identified),)),
    Key("aws:PrincipalType", "text", (Case("User", guard=consumer), Case("FederatedUser", guard=federated))),
    Key(
        "aws:PrincipalArn",
        "arn",
        (Case("arn:aws:iam::<gateway>:user/", ID, consumer), Case("arn:aws:sts::<gateway>:federated-user/", ID, federated)),
    ),
)
KEYS: Mapping[str, Key] = {key.name.lower(): key for key in _KEYS}
_TAG = "aws:principaltag/"
_TYPES: Mapping[str, Type] = {"string": "text", "bool": "truth", "number": "number", "list": "list"}
_NOT_HERE: Mapping[str, str] = {
    "aws:principaltag": "Write aws:PrincipalTag/<attribute>.",
    "aws:sourcevpc": "A gateway knows no VPCs: ask for aws:SourceIp.",
    "aws:sourcevpce": "A gateway knows no VPC endpoints: ask for aws:SourceIp.",
    "aws:vpcsourceip": "A gateway knows no VPCs: ask for aws:SourceIp.",
    "aws:sourcearn": "No service calls on another's behalf here.",
    "aws:principalorgid": "There are no organizations here: ask for aws:PrincipalAccount or an attribute.",
    "aws:principalorgpaths": "There are no organizations here: ask for aws:PrincipalTag/groups with ForAnyValue:StringLike.",
    "aws:multifactorauthpresent": "Let the issuer tell it in a claim, and ask for that attribute.",
    "aws:multifactorauthage": "Let the issuer tell it in a claim, and ask for that attribute.",
    "aws:tokenissuetime": "Tokens expire by themselves here.",
}


def key(name: str, schema: Schema) -> Key:
    """The key of this name, in which case doesn't matter. Refused if there is none."""
    lower = name.lower()
    if lower.startswith(_TAG):
        return _tag(name[len(_TAG) :], schema)
    if lower in KEYS:
        return KEYS[lower]
    known = [each.name for each in _KEYS] + ["aws:PrincipalTag/<attribute>"]
    near = get_close_matches(lower, KEYS, n=1, cutoff=0.7)
    hint = _NOT_HERE.get(lower) or (f"Did you mean {KEYS[near[0]].name}?" if near else f"Keys: {', '.join(known)}.")
    raise Refused("condition-key-unknown", f"the condition key {name!r} isn't known here", hint)


def _tag(name: str, schema: Schema) -> Key:
    attributes = {**{each: kind for each, kind in schema.attributes.items() if kind in _TYPES}, GROUPS: "list"}
    found = [name] if name in attributes else [each for each in attributes if each.lower() == name.lower()]
    if len(found) != 1:
        near = get_close_matches(name, attributes, n=1, cutoff=0.6)
        hint = f"Did you mean aws:PrincipalTag/{near[0]}?" if near else f"Declared: {', '.join(attributes)}."
        raise Refused(
            "condition-key-unknown", f"the Gateway declares no attribute {name!r}", f"{hint} Tags are attributes of the principal."
        )
    kind = _TYPES[attributes[found[0]]]
    cases = (Case(slot=Slot("principal", found[0])),) if kind in {"text", "truth"} else ()
    return Key(f"aws:PrincipalTag/{found[0]}", kind, cases, found[0])
