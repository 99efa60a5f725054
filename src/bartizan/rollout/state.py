"""From what is declared and what is live to everything Envoy holds: built anew for each change, reusing all that stayed the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from bartizan.compile import Compiled, Resources, Stamped, discovered_body, live, resources, shared, stamp
from bartizan.compile.brakes import BY_CLAIM, Braked, refused
from bartizan.compile.client_certificates import keyed, with_passkeys
from bartizan.compile.proofs import lost, proofs
from bartizan.compile.referring import towards
from bartizan.compile.split import Split, beside, marking
from bartizan.envoy import names
from bartizan.envoy.filters import nothing
from bartizan.policies.authenticate import bindings
from bartizan.policies.login import Login
from bartizan.policies.tls import Tls


@dataclass(frozen=True, slots=True)
class Live:
    """What outlasts revisions."""

    generation: int = 0
    issuer_keys: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    tables: Mapping[str, bytes] = field(default_factory=dict)
    """The key tables `keys/<shard>`, serialized."""
    principal: bytes = b""
    blocked: frozenset[str] = frozenset()
    brakes: tuple[Braked, ...] = ()
    certificates: Mapping[str, bytes] = field(default_factory=dict)
    """Certificates with their keys, those of listeners and those towards upstreams, and what logins need, as serialized Secrets by name."""
    lists: Mapping[str, bytes] = field(default_factory=dict)
    """Lists of revoked client certificates, by Tls policy."""
    notes: Mapping[str, bytes] = field(default_factory=dict)
    """What nodes are told beside it: what was revoked, by name."""
    context: Mapping[str, bytes] = field(default_factory=dict)
    """What context sources say, and until when it counts: the filters `subjects` and `context`, serialized."""
    retold: bytes = b""
    """What is told of consumers whose tables are older: the filter `retold`, serialized; empty for nothing."""


@dataclass(frozen=True, slots=True)
class State:
    """Everything one node's Envoy is to hold."""

    compiled: Compiled
    stamps: Mapping[str, Stamped]
    policy: Resources
    shared: Resources
    live: Live
    live_resources: Resources
    split: Split | None = None
    """The canary by caller, if there is one."""
    beside: Resources = field(default_factory=dict)
    """What it holds instead, or beside: what the candidate judges some callers by."""
    marks: Resources = field(default_factory=dict)
    """What tells those callers from all others."""

    def resources(self) -> Resources:
        """All of it."""
        return {**self.policy, **self.shared, **self.live_resources, **self.beside, **self.marks}

    def unmarked(self) -> "State":
        """The same, while nobody is the candidate's any more: what it judged by is still there for requests that are under way."""
        return replace(self, marks={})


def state_of(compiled: Compiled, alive: Live, before: State | None = None) -> State:
    """The state of these policies and this live data."""
    if before is not None and before.compiled is compiled:
        stamps, policy, common = before.stamps, before.policy, before.shared
    else:
        stamps = stamp(compiled, before.stamps if before else {})
        policy = resources(compiled, stamps)
        common = shared(compiled, before.compiled, before.shared) if before else shared(compiled)
    bound = bindings(compiled.snapshot.policies)
    found: Resources = {(names.ECDS, f"keys/{shard}"): body for shard, body in alive.tables.items()}
    found[names.ECDS, names.RETOLD] = alive.retold or discovered_body(names.RETOLD, nothing())
    found[names.ECDS, names.TOKENS] = _tokens(compiled, alive, bound, before)
    shown = keyed(compiled.snapshot), with_passkeys(compiled.snapshot)
    beside_envoy = proofs(bound, compiled.snapshot.issuers.values(), *shown)
    found[names.ECDS, names.PROOFS] = discovered_body(names.PROOFS, beside_envoy)
    found[names.ECDS, names.PRINCIPAL_FILTER] = alive.principal
    for name in (names.SUBJECTS, names.CONTEXT):
        found[names.ECDS, name] = alive.context.get(name) or discovered_body(name, nothing())
    braked = refused(alive.brakes)
    found[names.ECDS, names.BLOCKS] = discovered_body(names.BLOCKS, live.blocks(alive.blocked, braked.early))
    found[names.ECDS, names.BRAKES] = discovered_body(names.BRAKES, live.brakes(_late(compiled, alive, bound)))
    wanted = {names.certificate(tls.name) for tls in compiled.snapshot.policies if isinstance(tls, Tls)}
    wanted.update(names.towards(one.name, one.use) for one in towards(compiled.snapshot))
    wanted.update(_of_logins(compiled))
    found.update({(names.SECRET, name): body for name, body in alive.certificates.items() if name in wanted})
    found.update(_trusted(compiled, alive))
    if (stale := compiled.snapshot.gateway.max_stale) is not None:
        found[names.NOTE, names.SETTINGS] = orjson.dumps({"max_stale_s": stale.total_seconds()})
    if gone := sorted(one.name for one in compiled.snapshot.devices.values() if one.state == "lost"):
        found[names.NOTE, names.LOST] = orjson.dumps(gone)
    found.update({(names.NOTE, name): body for name, body in alive.notes.items()})
    return State(compiled, stamps, policy, common, alive, found)


def _tokens(compiled: Compiled, alive: Live, bound: frozenset[str], before: State | None) -> bytes:
    """Whose tokens count. Envoy forgets those that it has checked whenever this is sent anew."""
    issuers, noted, own = compiled.snapshot.issuers, bound | _claims(compiled, alive), _own(compiled)
    if before is not None and before.live.issuer_keys == alive.issuer_keys:
        earlier = before.compiled.snapshot
        told = bindings(earlier.policies) | _claims(before.compiled, before.live)
        if earlier.issuers == issuers and told == noted and _own(before.compiled) == own:
            return before.live_resources[names.ECDS, names.TOKENS]
    return discovered_body(names.TOKENS, live.tokens(issuers.values(), alive.issuer_keys, noted=noted, own=own))


def _own(compiled: Compiled) -> str:
    """The gateway's own issuer; empty if there is none."""
    server = compiled.snapshot.gateway.authorization_server
    return server.issuer if server is not None else ""


def _claims(compiled: Compiled, alive: Live) -> frozenset[str]:
    """What some brake or device asks of tokens."""
    asked = frozenset(one.what for one in alive.brakes if one.what in BY_CLAIM)
    return asked | {"passkey"} if with_passkeys(compiled.snapshot) else asked


def _of_logins(compiled: Compiled) -> Iterator[str]:
    for policy in compiled.snapshot.policies:
        if isinstance(policy, Login):
            yield from policy.secret_names


def _late(compiled: Compiled, alive: Live, bound: frozenset[str]) -> list[tuple[str, Any]]:
    """What is refused when it is known who calls, whatever the policies say."""
    issuers = compiled.snapshot.issuers.values()
    shown = {**keyed(compiled.snapshot), **with_passkeys(compiled.snapshot)}
    late = [*live.unasked(issuers), *live.mistyped(issuers), *live.unproven(bound), *lost(shown)]
    return [*late, *refused(alive.brakes).late]


def _trusted(compiled: Compiled, alive: Live) -> Resources:
    """The client CAs that have lists of revoked certificates, instead of those that the policy brings."""
    found: Resources = {}
    for tls in compiled.snapshot.policies:
        if isinstance(tls, Tls) and tls.crls:
            held = tls.trusted(compiled.snapshot.files, alive.lists.get(tls.name))
            found.update({(names.SECRET, name): body for name, body in held.items()})
    return found


def divided(state: State, split: Split | None, before: State | None = None) -> State:
    """The state with this canary by caller; without it if neither its active revision nor its candidate is what is served. When the
    candidate is, its callers stay marked, which changes nothing, until the canary ends: so they never meet the revision before again."""
    revision = state.compiled.snapshot.revision
    if split is None or revision not in {split.active, split.revision}:
        return replace(state, split=None, beside={}, marks={})
    found: Resources = {}
    if revision == split.active:
        same = before is not None and before.split is split and before.stamps is state.stamps
        found = before.beside if same and before is not None else beside(split, state.compiled, state.stamps)
    braked = _late(state.compiled, state.live, bindings(state.compiled.snapshot.policies))
    mark = marking(split, [(names.BRAKES, live.brakes(braked))] if braked else [])
    return replace(state, split=split, beside=found, marks={(names.ECDS, names.BRAKES): discovered_body(names.BRAKES, mark)})
