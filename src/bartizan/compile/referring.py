"""References to named secrets: where each stands, what it is for, and which of them no secret allows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bartizan.lib.yaml import Path
from bartizan.model.api import Api
from bartizan.model.fields import SecretRef
from bartizan.model.named import OWN, Destination, Grant, Use, sent_to
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Resource, Snapshot
from bartizan.policies.login import Login
from bartizan.policies.tls import Tls

Grants = Mapping[tuple[str | None, str], Grant]
"""By team and name: each team has names of its own, so nobody can find out by trying which ones another has."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference."""

    kind: str
    owner: str
    path: Path
    name: str
    use: Use

    @property
    def key(self) -> tuple[str | None, str]:
        """The secret that is meant: nobody can mean another team's."""
        return self.use.team, self.name


def use_of(api: Api) -> Use:
    """What an API's upstream uses a secret for."""
    return Use(api.team, tuple(sorted({Destination(one.host, one.port) for one in api.upstream.endpoints})))


def references(snapshot: Snapshot) -> Iterator[Reference]:
    """Every reference to a named secret. Only an API has a team. Its upstream is a destination, and so are an issuer's introspection
    endpoint, the token endpoint of a Login, and where a source's values are fetched; all else goes nowhere."""
    yield from towards(snapshot)
    for consumer in snapshot.consumers.values():
        for at, credential in enumerate(consumer.credentials):
            if credential.api_key is not None and credential.api_key.secret is not None:
                yield Reference(consumer.kind, consumer.name, ("credentials", at, "api_key", "secret"), credential.api_key.secret, OWN)
    yield from _of_listeners_and_issuers(snapshot)
    yield from _of_sources(snapshot)
    yield from _of_clients(snapshot)


def towards(snapshot: Snapshot) -> Iterator[Reference]:
    """Those of APIs, whose upstreams get a certificate of the gateway's own."""
    for api in snapshot.apis.values():
        key = api.upstream.tls.private_key
        if key is not None and key.secret is not None:
            yield Reference(api.kind, api.name, ("upstream", "tls", "private_key", "secret"), key.secret, use_of(api))


def _of_listeners_and_issuers(snapshot: Snapshot) -> Iterator[Reference]:
    for issuer in snapshot.issuers.values():
        if isinstance(issuer.jwks, SecretRef) and issuer.jwks.secret is not None:
            yield Reference(issuer.kind, issuer.name, ("jwks", "secret"), issuer.jwks.secret, OWN)
        if issuer.introspection is not None and issuer.introspection.client_secret.secret is not None:
            path = ("introspection", "client_secret", "secret")
            yield Reference(issuer.kind, issuer.name, path, issuer.introspection.client_secret.secret, issuer.introspection.use)
    for policy in snapshot.policies:
        if isinstance(policy, Tls):
            yield from _of_listener(policy)
        elif isinstance(policy, Login) and policy.client_secret.secret is not None:
            yield Reference(policy.kind, policy.name, ("client_secret", "secret"), policy.client_secret.secret, policy.use)


def _of_sources(snapshot: Snapshot) -> Iterator[Reference]:
    for source in snapshot.contexts.values():
        pull = source.pull
        if pull is not None and pull.authorization is not None and pull.authorization.secret is not None:
            yield Reference(source.kind, source.name, ("pull", "authorization", "secret"), pull.authorization.secret, sent_to(pull.url))


def _of_clients(snapshot: Snapshot) -> Iterator[Reference]:
    gateway, server = snapshot.gateway, snapshot.gateway.authorization_server
    if server is None:
        return
    for name, client in server.clients.items():
        if client.secret is not None and client.secret.secret is not None:
            path = ("authorization_server", "clients", name, "secret", "secret")
            yield Reference(gateway.kind, gateway.name, path, client.secret.secret, OWN)
    for name, outside in server.outside.items():
        if outside.client_secret.secret is not None:
            path = ("authorization_server", "outside", name, "client_secret", "secret")
            yield Reference(gateway.kind, gateway.name, path, outside.client_secret.secret, outside.use)


def _of_listener(tls: Tls) -> Iterator[Reference]:
    if tls.private_key.secret is not None:
        yield Reference(tls.kind, tls.name, ("private_key", "secret"), tls.private_key.secret, OWN)
    for ca, listed in tls.crls.items():
        if listed.secret is not None:
            yield Reference(tls.kind, tls.name, ("crls", ca, "secret"), listed.secret, OWN)


def secret_problems(snapshot: Snapshot, grants: Grants, before: Snapshot | None = None) -> Iterator[Problem]:
    """What refers to a secret that isn't there or isn't for it. What was in `before` already isn't told again: a secret that was
    deleted or given another grant since then is refused where it is used, and holds up nobody else's change."""
    lacking = [one for one in references(snapshot) if (grant := grants.get(one.key)) is None or not grant.allows(one.use)]
    known = frozenset(references(before)) if before is not None and lacking else frozenset()
    for one in lacking:
        if one not in known:
            yield _problem(one, grants.get(one.key), snapshot.resources[one.kind, one.owner])


def _problem(one: Reference, grant: Grant | None, resource: Resource) -> Problem:
    """What is wrong. Whether another team has such a secret can't be told from it: it isn't even looked for."""
    whose = f"the team {one.use.team} has" if one.use.team is not None else "the gateway's owner has"
    towards = [argument for to in one.use.to for argument in ("--to", str(to))]
    command = " ".join(["bartizan secret set", one.name, *(["--team", one.use.team] if one.use.team else []), *towards])
    at = resource.place(one.path)
    if grant is None:
        return Problem(at, "secret-unknown", f"{whose} no secret {one.name!r}", f"Make it: `{command}`.")
    if not one.use.to:
        told = f"the secret {one.name!r} is for {', '.join(grant.to)}; here it would be sent nowhere"
        return Problem(at, "secret-not-granted", told, "Use one without destinations.")
    beyond = ", ".join(map(str, grant.beyond(one.use)))
    return Problem(at, "secret-not-granted", f"the secret {one.name!r} may not be sent to {beyond}", f"Grant that: `{command}`.")
