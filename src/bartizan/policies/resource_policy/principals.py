"""Principal and NotPrincipal: whom they name.

| written | who |
|---|---|
| `"*"`, `{"AWS": "*"}` | everyone, also without a credential |
| `<gateway>`, `arn:aws:iam::<gateway>:root` | everyone with a credential |
| `arn:aws:iam::<gateway>:user/<consumer>` | a consumer, whatever its credential |
| `arn:aws:iam::<gateway>:role/<group>` | the members of a group |
| `arn:aws:sts::<gateway>:federated-user/<id>` | whoever isn't a consumer, by `principal.id`: `<issuer's URL>|<subject>`, `<CA>|<SAN>` |
| `{"Federated": "arn:aws:iam::<gateway>:oidc-provider/<Issuer>"}` | everyone with a token of an Issuer |
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bartizan.envoy.matching import all_of, principal
from bartizan.policies._kind import Reference
from bartizan.policies.resource_policy.keys import GROUPS, IDENTIFIED
from bartizan.policies.resource_policy.lists import holds
from bartizan.policies.resource_policy.logic import Rule, opposite, some
from bartizan.policies.resource_policy.notes import Notes, Path, Refused

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_ARN = re.compile(r"arn:aws:(?P<service>iam|sts)::(?P<account>[^:]*):(?P<type>[a-z-]+)(?:/(?P<name>.+))?", re.DOTALL)
_FORMS = "arn:aws:iam::<gateway>:user/<consumer>, :role/<group>, :root, or arn:aws:sts::<gateway>:federated-user/<principal.id>"

Sort = Literal["everyone", "account", "user", "role", "federated-user", "oidc-provider"]
_SORTS: Mapping[tuple[str, str], Sort] = {
    ("iam", "root"): "account",
    ("iam", "user"): "user",
    ("iam", "role"): "role",
    ("sts", "federated-user"): "federated-user",
    ("iam", "oidc-provider"): "oidc-provider",
}


@dataclass(frozen=True, slots=True)
class Who:
    """One principal, as a statement names it."""

    sort: Sort
    name: str = ""
    account: str | None = None
    at: Path = ()

    def rule(self) -> Rule:
        """Whether the caller is meant."""
        match self.sort:
            case "everyone":
                return True
            case "account":
                return IDENTIFIED
            case "role":
                return holds(GROUPS, [tuple(self.name)])
            case "oidc-provider":
                return all_of([principal("method", "jwt"), principal("issuer", self.name)])
        return principal("id", self.name)


@dataclass(frozen=True, slots=True)
class Principals:
    """Whom a statement is about: those named, or all but those."""

    named: tuple[Who, ...]
    negated: bool = False

    def rule(self) -> Rule:
        """Whether the statement is about the caller. In NotPrincipal the account exempts nobody: AWS wants it beside its users."""
        if not self.negated:
            return some(who.rule() for who in self.named)
        return opposite(some(who.rule() for who in self.named if who.sort != "account"))

    def read_groups(self) -> bool:
        """Whether the caller's groups are asked for."""
        return any(who.sort == "role" for who in self.named)


def principals(value: Any, path: Path, negated: bool, notes: Notes) -> Principals:
    """The principals of an element."""
    before = len(notes.faults)
    named = tuple(_named(value, path, notes))
    if negated and len(notes.faults) == before:
        _check_exception(named, path, notes)
    return Principals(named, negated)


def _named(value: Any, path: Path, notes: Notes) -> Iterator[Who]:
    if value == "*":
        yield Who("everyone", at=path)
        return
    if not isinstance(value, dict) or not value:
        notes.wrong(path, "principal-malformed", f'a {path[-1]} is "*", {{"AWS": ...}} or {{"Federated": ...}}', f"Write {_FORMS}.")
        return
    for kind, items in value.items():
        if kind not in {"AWS", "Federated"}:
            hint = 'Consumers are {"AWS": ...}, issuers {"Federated": ...}.'
            notes.wrong((*path, kind), "principal-unsupported", f"there are no {kind} principals here", hint)
            continue
        for where, text in notes.texts(items, (*path, kind)):
            who = notes.attempt(where, _who, text, kind, where)
            if who is not None:
                yield who
                _refer(who, notes)


def _refer(who: Who, notes: Notes) -> None:
    kinds = {"user": "Consumer", "oidc-provider": "Issuer"}
    if who.sort in kinds:
        notes.references.append(Reference(who.at, kinds[who.sort], who.name))


def _who(text: str, kind: str, at: Path) -> Who:
    if text == "*" and kind == "AWS":
        return Who("everyone", at=at)
    if kind == "AWS" and re.fullmatch(r"[A-Za-z0-9-]+", text):
        return Who("account", account=text, at=at)
    found = _ARN.fullmatch(text)
    sort = _SORTS.get((found["service"], found["type"])) if found else None
    if found is None or sort is None or (found["name"] is None) != (sort == "account"):
        hint = "Write arn:aws:iam::<gateway>:oidc-provider/<Issuer>." if kind == "Federated" else f"Write {_FORMS}."
        raise Refused("principal-unsupported", f"{text!r} names nobody here", hint)
    if (sort == "oidc-provider") != (kind == "Federated"):
        raise Refused("principal-unsupported", f"{text!r} can't stand under {kind}", "Only issuers are Federated; all others are AWS.")
    _check_name(text, sort, found["name"] or "")
    return Who(sort, found["name"] or "", found["account"], at)


def _check_name(text: str, sort: Sort, name: str) -> None:
    if sort == "federated-user":
        if "|" not in name:
            raise Refused(
                "principal-unsupported", f"{name!r} is not the id of a federated caller", "Write <issuer's URL>|<subject> or <CA>|<SAN>."
            )
    elif {"*", "?"} & set(name):
        hint = "Use Principal * with a Condition on aws:PrincipalArn."
        raise Refused("principal-wildcard", f"{text!r}: a principal is named whole; AWS knows no wildcard there", hint)
    elif sort in {"user", "oidc-provider"} and not _NAME.fullmatch(name):
        raise Refused(
            "principal-unsupported", f"{name!r} can't be the name of a {'Consumer' if sort == 'user' else 'Issuer'}", f"Write {_FORMS}."
        )


def _check_exception(named: tuple[Who, ...], path: Path, notes: Notes) -> None:
    """NotPrincipal as AWS evaluates it: the account must stand beside those that it excepts, and roles except nobody."""
    better = 'Use Principal "*" with a Condition such as ArnNotLike on aws:PrincipalArn, as AWS recommends.'
    for who in named:
        if who.sort not in {"user", "federated-user", "account"}:
            hint = f"Name users, and the account beside them. {better}"
            notes.wrong(who.at, "principal-exception", f"{path[-1]} can't except what {who.sort} names", hint)
    if all(who.sort == "account" for who in named):
        notes.wrong(path, "principal-exception", "an account alone excepts nobody", f"Name the users beside it. {better}")
    elif not any(who.sort == "account" for who in named):
        hint = f"Add arn:aws:iam::<gateway>:root. {better}"
        notes.wrong(path, "principal-exception", "AWS denies everyone of an account that isn't named beside its users", hint)
