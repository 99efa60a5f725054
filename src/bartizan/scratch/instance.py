"""The scratch instance itself: an Envoy of its own in a folder of its own, gone when it is no longer needed."""

import asyncio
import shutil
import tempfile
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack, suppress
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from bartizan.compile import Compiled, Resources, compile
from bartizan.compile.covering import covering
from bartizan.condition import Sources
from bartizan.envoy import binary, names
from bartizan.envoy.bootstrap import Bootstrap
from bartizan.envoy.program import INHERITS, arguments, why_ended, zoneinfo
from bartizan.errors import Invalid, NotFound, Unavailable
from bartizan.identity.credentials import view
from bartizan.identity.principal import Wanted, principal_rules
from bartizan.identity.table import shards
from bartizan.lib.process import Command, end, start
from bartizan.lib.sockets import private_folder, socket_folder
from bartizan.model.covering import Covering
from bartizan.model.snapshot import Snapshot
from bartizan.policies import PolicyKind
from bartizan.policies.rate_limit import RateLimit
from bartizan.rollout.state import Live, state_of
from bartizan.scratch.frame import HELD, scratch_resources
from bartizan.scratch.question import Principal, Question, UnknownKey
from bartizan.scratch.record import counted, record_of
from bartizan.scratch.request import Unaskable, sent, setting_of
from bartizan.scratch.wire import Answer, Sent, Wire
from bartizan.telemetry.decision import Decision, decision_of
from bartizan.xds.release import Release, Step, resource
from bartizan.xds.server import AdsServer

_READY_S = 20.0
_ANSWER_S = 10.0


class Scratch:
    """Answers questions about `snapshot` as production would. Use it in the main thread's event loop:

        async with Scratch(snapshot) as scratch:
            decision = await scratch.ask(Question("POST", "/orders/refunds", principal=scratch.consumer("acme")))

    It has no key and no token of anybody's: who asks is what the question says.
    """

    def __init__(self, snapshot: Snapshot, *, envoy: Path | None = None, connections: int = 16, told: Collection[str] = HELD) -> None:
        """`told`: what answers tell, by the names of `frame.HELD`; `frame.DECIDED` is enough for who wants decisions only."""
        self.snapshot = snapshot
        self._told = told
        self._compiled = compile(snapshot, Sources(time="header", address="header"))
        self._envoy = envoy or binary()
        self._most = connections
        self._setting = setting_of(snapshot)
        self._folder = Path()
        self._run = Path()
        self._server: AdsServer | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._wires: dict[str, Wire] = {}
        self._covering: dict[tuple[str, str, str], tuple[tuple[PolicyKind, Covering], ...]] = {}

    async def __aenter__(self) -> "Scratch":
        if self._compiled.problems:
            raise Invalid("What is declared has problems.", problems=self._compiled.problems)
        async with AsyncExitStack() as started:
            started.push_async_callback(self._end)
            self._folder = private_folder(Path(tempfile.mkdtemp(prefix="bartizan-scratch-")))
            self._run = socket_folder(self._folder)
            await self._start()
            started.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._end()

    def consumer(self, name: str) -> Principal:
        """A consumer as who asks; one who is disabled, as someone with a key that nobody has. NotFound if there is none."""
        found = self.snapshot.consumers.get(name)
        if found is None:
            near = get_close_matches(name, self.snapshot.consumers, n=1, cutoff=0.5)
            raise NotFound(f"There is no Consumer {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""), code="consumer-unknown")
        return view(found) if found.counts() else UnknownKey()

    async def ask(self, question: Question) -> Decision:
        """What would be decided. Unaskable for a question that can't be put; Unavailable if Envoy has ended."""
        record = await self.record(question)
        return decision_of(record, self.covering(record))

    def covering(self, record: Mapping[str, Any]) -> tuple[Covering, ...]:
        """The policies that cover such a request, in the order of the chain."""
        return tuple(one for _, one in self.policies(record))

    def policies(self, record: Mapping[str, Any]) -> tuple[tuple[PolicyKind, Covering], ...]:
        """The same, with the policies themselves."""
        where = (record["api"], record["route"], record["http_method"])
        if where[0] is None:
            return ()
        if where not in self._covering:
            self._covering[where] = covering(self._compiled, *where)
        return self._covering[where]

    def written(self, question: Question) -> Sent:
        """The question as it travels. Unaskable if it can't be put."""
        return sent(question, self._setting, self._listener(question))

    async def answer(self, question: Question, request: Sent) -> Answer:
        """What Envoy answers to a question as it travels. Unavailable if Envoy has ended."""
        wire = self._wires[self._listener(question)]
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await wire.exchange(request)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"The scratch instance doesn't answer: {self._trouble() or error}", code="scratch-gone") from error

    def told(self, question: Question, answer: Answer) -> dict[str, Any]:
        """The record that an answer stands for, without the buckets of limits."""
        return record_of(question, answer, tuple(self.snapshot.gateway.attributes))

    def _listener(self, question: Question) -> str:
        listener = question.listener or self.snapshot.gateway.listeners[0].name
        if listener not in self._wires:
            raise Unaskable(f"there is no listener {listener!r}")
        return listener

    async def record(self, question: Question) -> dict[str, Any]:
        """The record that the request would leave."""
        answer = await self.answer(question, self.written(question))
        record = self.told(question, answer)
        limits = [policy for policy, _ in self.policies(record) if isinstance(policy, RateLimit)]
        paths = self.snapshot.apis[record["api"]].paths if limits else ()
        return {**record, "limits": counted(question, record, limits, paths)}

    async def _start(self) -> None:
        sockets = {one.name: self._run / f"l{i}.sock" for i, one in enumerate(self.snapshot.gateway.listeners)}
        held = scratch_resources(production(self._compiled), sockets, self._told)
        self._server = AdsServer(self._run / "ads.sock")
        await self._server.start()
        self._process = await self._begun()
        await self._given(self._server, self._process, held)
        for name, path in sockets.items():
            if (names.LISTENER, name) in held:
                await self._listening(path)
                self._wires[name] = Wire(path, self._most)

    async def _begun(self) -> asyncio.subprocess.Process:
        try:
            return await start(self._command())
        except OSError as error:
            raise Unavailable(f"Envoy can't be started: {self._envoy}: {error.strerror or error}", code="envoy-missing") from error

    async def _given(self, server: AdsServer, process: asyncio.subprocess.Process, held: Resources) -> None:
        """Gives Envoy all that it is to hold, and waits until it has taken it."""
        release = Release(1, self.snapshot.revision, 0, (Step(tuple(resource(*key, body) for key, body in held.items())),))
        applying = asyncio.ensure_future(server.apply(release, connect_s=_READY_S))
        ending = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait((applying, ending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()
            applied = applying.done()
            applying.cancel()
        outcome = applying.result() if applied else None
        if outcome is None or not outcome.acknowledged:
            reason = (outcome.error if outcome else None) or self._trouble() or "it takes too long"
            raise Unavailable(f"The scratch instance doesn't start: {reason}", code="scratch-unusable")

    def _command(self) -> Command:
        config = self._folder / "envoy.json"
        bootstrap = Bootstrap("scratch", str(self._run / "ads.sock"), str(self._run / "admin.sock"))
        config.write_bytes(orjson.dumps(bootstrap.config()))
        argv = (str(self._envoy), *arguments(config, 1))
        return Command(argv, env={"TZDIR": str(zoneinfo())}, inherits=INHERITS, output=self._folder / "envoy.log", cwd=self._folder)

    async def _listening(self, path: Path) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_READY_S):
                while self._process is not None and self._process.returncode is None:
                    try:
                        _, writer = await asyncio.open_unix_connection(str(path))
                    except OSError:
                        await asyncio.sleep(0.005)
                        continue
                    writer.close()
                    return
        raise Unavailable(f"The scratch instance doesn't start: {self._trouble() or 'it takes too long'}", code="scratch-unusable")

    def _trouble(self) -> str:
        """Why Envoy ended; empty if it runs."""
        if self._process is None or self._process.returncode is None:
            return ""
        return f"Envoy {why_ended(self._folder / 'envoy.log', self._process.returncode)}"

    async def _end(self) -> None:
        for wire in self._wires.values():
            wire.close()
        if self._process is not None:
            await end(self._process)
        if self._server is not None:
            await self._server.stop()
        for folder in {self._folder, self._run}:
            shutil.rmtree(folder, ignore_errors=True)


def production(compiled: Compiled) -> Resources:
    """What production would hold of these policies, with nobody's keys, and for each issuer a key that has signed nothing."""
    snapshot = compiled.snapshot
    attributes = snapshot.gateway.attributes
    unused = orjson.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
    keys = ({**unused, "kid": "scratch", "use": "sig", "alg": "ES256"},)
    issuers = {name: issuer.issuer for name, issuer in snapshot.issuers.items()}
    alive = Live(
        issuer_keys=dict.fromkeys(snapshot.issuers, keys),
        tables={shard: body for shard, body in shards((), {}, attributes).items()},
        principal=principal_rules(attributes, issuers, wanted=Wanted(places=snapshot.gateway.places.told())),
    )
    return state_of(compiled, alive).resources()
