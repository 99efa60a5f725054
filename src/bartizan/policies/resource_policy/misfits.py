"""What a document names that isn't there: gateways, requests that no API answers, callers that nobody can be."""

from collections.abc import Iterator, Sequence
from itertools import chain

from bartizan.model.api import Api
from bartizan.model.policy import Target
from bartizan.model.snapshot import Snapshot
from bartizan.policies._kind import Fault
from bartizan.policies.resource_policy.conditions import Test
from bartizan.policies.resource_policy.glob import Glob, literal, matches, rests
from bartizan.policies.resource_policy.keys import ID, Case, Key, consumer, federated
from bartizan.policies.resource_policy.model import Statement
from bartizan.policies.resource_policy.notes import Path
from bartizan.policies.resource_policy.resources import Pattern, names_something
from bartizan.policies.resource_policy.values import ArnGlob


def misfits(statements: Sequence[Statement], target: Target, snapshot: Snapshot) -> Iterator[Fault]:
    """Everything that is named and isn't there, or isn't covered by the policy's target."""
    for statement in statements:
        for at, pattern in statement.resources.named:
            yield from _of_resource(at, pattern, target, snapshot)
        for who in statement.principals.named:
            if who.account is not None and who.account != snapshot.gateway.name:
                yield _no_account(who.at, who.account, snapshot)
            if who.sort == "federated-user" and not _federated_exists(tuple(who.name), snapshot):
                hint = "It is principal.id as the records show it: <issuer's URL>|<subject> or <CA>|<SAN>."
                yield Fault(who.at, "principal-unknown", f"no Issuer and no CA has callers such as {who.name!r}", hint)
        for test in statement.tests:
            yield from _of_test(test, snapshot)


def _no_account(at: Path, account: str, snapshot: Snapshot) -> Fault:
    return Fault(
        at, "arn-account", f"the account {account!r} is not this gateway", f"The account is the gateway's name: {snapshot.gateway.name}."
    )


def _of_resource(at: Path, pattern: Pattern, target: Target, snapshot: Snapshot) -> Iterator[Fault]:
    apis = snapshot.apis
    if pattern.account is not None and pattern.account != snapshot.gateway.name:
        yield _no_account(at, pattern.account, snapshot)
    elif pattern.api in apis and target.api not in {None, pattern.api}:
        hint = f"Name {target.api}, or widen the target."
        yield Fault(at, "arn-unreachable", f"it names the API {pattern.api!r}, which the policy's target doesn't cover", hint)
    elif (pattern.api is None or pattern.api in apis) and not names_something(pattern, _asked(pattern, target, snapshot), target):
        asked = _asked(pattern, target, snapshot)
        paths = ", ".join(path for api in asked[:3] for path in api.paths[:3])
        hint = f"After the stage come the method and the whole path that callers write; the paths here begin with {paths}."
        yield Fault(at, "arn-unreachable", "no request that the policy covers has such an ARN", hint)


def _asked(pattern: Pattern, target: Target, snapshot: Snapshot) -> Sequence[Api]:
    """The APIs that both may be about."""
    one = snapshot.apis.get(pattern.api or target.api or "")
    return list(snapshot.apis.values()) if one is None else [one]


# Conditions on who calls.


def _of_test(test: Test, snapshot: Snapshot) -> Iterator[Fault]:
    if not _tells_who(test.key):
        return
    for value in test.values:
        if isinstance(value, tuple | ArnGlob) and not _someone(test.key, value, snapshot, test.operator.compare == "folded"):
            hint = "A caller is arn:aws:iam::<gateway>:user/<consumer> or arn:aws:sts::<gateway>:federated-user/<principal.id>."
            if test.key.type != "arn":
                hint = "Consumers are known by their names, all others by principal.id as the records show it."
            yield Fault(test.at, "principal-unknown", f"{_shown(value)!r} is the {test.key.name} of nobody", hint)


def _tells_who(key: Key) -> bool:
    return any(slot == ID for slot in key.slots()) or key.name in {"aws:PrincipalAccount", "aws:PrincipalType"}


def _shown(value: Glob | ArnGlob) -> str:
    return value.text if isinstance(value, ArnGlob) else "".join(part if isinstance(part, str) else part.value for part in value)


def _someone(key: Key, value: Glob | ArnGlob, snapshot: Snapshot, fold: bool) -> bool:
    for case in key.cases:
        before = case.before.replace("<gateway>", snapshot.gateway.name)
        glob = value
        if isinstance(value, ArnGlob):
            *fixed, before = before.split(":", 5)
            if not all(matches(part, text) for part, text in zip(value.parts, fixed, strict=False)):
                continue
            glob = value.parts[-1]
        if isinstance(glob, tuple) and any(_is_somebodys(case, rest, snapshot, fold) for rest in rests(glob, before, fold=fold)):
            return True
    return False


def _is_somebodys(case: Case, rest: Glob, snapshot: Snapshot, fold: bool) -> bool:
    """Whether what follows the case's beginning may be there."""
    if case.slot is None:
        return matches(rest, "")
    if case.guard is not federated and _consumer_exists(rest, snapshot, fold):
        return True
    return case.guard is not consumer and _federated_exists(rest, snapshot, fold)


def _consumer_exists(rest: Glob, snapshot: Snapshot, fold: bool) -> bool:
    """Whether it may be a consumer's name: one with wildcards, or one that is declared."""
    name = literal(rest)
    return name is None or (name.lower() if fold else name) in snapshot.consumers  # consumers' names are in lower case


def _federated_exists(rest: Glob, snapshot: Snapshot, fold: bool = False) -> bool:
    """Whether it may be the id of a caller with a token or a certificate."""
    issuers = (issuer.issuer for issuer in snapshot.issuers.values())
    cas = (ca for policy in snapshot.policies for ca in getattr(policy, "client_cas", ()))
    return any(rests(rest, f"{head}|", fold=fold) for head in chain(issuers, cas))
