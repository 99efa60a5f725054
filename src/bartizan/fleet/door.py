"""Where nodes of other machines come in: TLS with certificates on both sides; and, for who has none yet, one question and its answer."""

import asyncio
import hashlib
import logging
import ssl
from collections.abc import Callable, Coroutine

import orjson
from pydantic import ValidationError

from bartizan.errors import BartizanError, Unauthenticated, Unavailable
from bartizan.fleet.attempts import Attempts
from bartizan.fleet.authority import Authority
from bartizan.fleet.intake import Intake
from bartizan.fleet.registry import Joined, Registry
from bartizan.lib.tls import load_pair
from bartizan.store import Event
from bartizan.telemetry.shipping import MOST_FRAME
from bartizan.xds.asking import Ask, Told
from bartizan.xds.control import ControlServer
from bartizan.xds.link import ASK_PROTOCOL, ASKED, FROM_NODE, NODE_PROTOCOL, RECORDS_PROTOCOL, Link, Lost
from bartizan.xds.signed import Order, encoded_order

_log = logging.getLogger(__name__)
_POLL_S = 0.1
_ASK_S = 10.0
_HANDSHAKE_S = 5.0
_END_S = 2.0
_ASKING_AT_ONCE = 32
_MOST = {NODE_PROTOCOL: FROM_NODE, RECORDS_PROTOCOL: MOST_FRAME}
LIFETIME_S = 30 * 86_400.0
"""How long a node's certificate counts. It is renewed when a third of that is left."""


class Door:
    """Listens on `address` (host and port) for nodes, and lets those talk to `control` that the registry knows."""

    def __init__(self, address: tuple[str, int], control: ControlServer, registry: Registry, authority: Authority, intake: Intake) -> None:
        self._address = address
        self._control = control
        self._intake = intake
        self._registry = registry
        self._authority = authority
        self._attempts = Attempts()
        self._asking = 0
        self._inside: dict[asyncio.Task[None], str] = {}
        """Who talks, by the certificate that it showed."""
        self._let_in: set[str] = set()
        """The names of those who ever talked."""
        self._meeting: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.lifetime_s = LIFETIME_S
        self.done: Callable[[Event], None] = lambda event: None
        """Told which nodes joined."""
        self.refused: Callable[[Event], None] = lambda event: None
        """Told who wasn't let in."""

    async def start(self) -> None:
        """Unavailable if the address can't be used."""
        host, port = self._address
        try:
            self._server = await asyncio.start_server(self._meet, host, port, ssl=self._context(), ssl_handshake_timeout=_HANDSHAKE_S)
        except OSError as error:
            told = f"The address {host}:{port} for nodes can't be used: {error.strerror or error}. Choose another with --nodes."
            raise Unavailable(told) from error

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        for task in self._inside:
            task.cancel()
        if self._meeting:
            await asyncio.wait(self._meeting, timeout=_END_S)

    async def watch(self) -> None:
        """Sends away who is removed, or whose certificate has ended, for ever."""
        while True:
            await asyncio.sleep(_POLL_S)
            self._registry.poll()
            for task, fingerprint in tuple(self._inside.items()):
                if self._registry.known(fingerprint) is None:
                    task.cancel()
            for name in self._let_in - {node.name for node in self._registry.nodes()}:
                self._let_in.discard(name)
                for server in {self._control, self._control.lane(name)}:  # a canary is served apart
                    server.forget(name)

    def _context(self) -> ssl.SSLContext:
        certificate, key = self._authority.server()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=self._authority.pem.decode())
        context.set_alpn_protocols([NODE_PROTOCOL, ASK_PROTOCOL, RECORDS_PROTOCOL])
        context.num_tickets = 0  # each connection shows its certificate
        load_pair(context, certificate, key)
        return context

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._met(reader, writer))
        self._meeting.add(task)
        task.add_done_callback(self._meeting.discard)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        shown = tls.getpeercert(binary_form=True)
        fingerprint = hashlib.sha256(shown).hexdigest() if shown else ""
        address = str(writer.get_extra_info("peername")[0])
        spoken = tls.selected_alpn_protocol() or ""
        link = Link(reader, writer, _MOST.get(spoken, ASKED) if fingerprint else ASKED)
        try:
            if spoken == NODE_PROTOCOL:
                await self._talk(link, fingerprint, address)
            elif spoken == RECORDS_PROTOCOL:
                await self._ships(link, fingerprint)
            elif spoken == ASK_PROTOCOL and self._asking < _ASKING_AT_ONCE:
                await self._asked(link, fingerprint, address)
        except (Lost, ValueError, TimeoutError) as error:
            _log.info("a connection from %s ended: %s", address, error)
        finally:
            await link.close()

    async def _talk(self, link: Link, fingerprint: str, address: str) -> None:
        node = self._registry.known(fingerprint)
        if node is None:
            _log.warning("a node from %s is sent away: its certificate doesn't count here", address)
            return await link.write(encoded_order(Order(0, b"its certificate doesn't count there: it was removed, or never joined")))
        self._let_in.add(node.name)
        await self._inside_for(fingerprint, self._control.talk(aiter(link), link, (node.name, node.group)))

    async def _ships(self, link: Link, fingerprint: str) -> None:
        if (node := self._registry.known(fingerprint)) is not None:
            await self._inside_for(fingerprint, self._intake.talk(node.name, link))

    async def _inside_for(self, fingerprint: str, talking: Coroutine[None, None, None]) -> None:
        """As long as this certificate counts."""
        talk = asyncio.create_task(talking)
        self._inside[talk] = fingerprint
        try:
            await asyncio.wait([talk])
            if not talk.cancelled():
                talk.result()
        finally:
            talk.cancel()
            del self._inside[talk]

    async def _asked(self, link: Link, fingerprint: str, address: str) -> None:
        self._asking += 1
        try:
            async with asyncio.timeout(_ASK_S):
                data = await link.read()
                if data is not None:
                    await link.write(orjson.dumps((await self._answer(data, fingerprint, address)).model_dump()))
        finally:
            self._asking -= 1

    async def _answer(self, data: bytes, fingerprint: str, address: str) -> Told:
        try:
            ask = Ask.model_validate_json(data)
            if ask.what == "ca":
                return Told(ca=self._authority.pem.decode())
            if ask.what == "renew":
                return await asyncio.to_thread(self._renewed, ask, fingerprint)
            return await self._joined(ask, address)
        except ValidationError:
            return Told(error="The question can't be read.", code="malformed")
        except BartizanError as error:
            _log.warning("a node from %s isn't let in: %s", address, error.message)
            self.refused(Event("unknown", "node.refused", "fleet", address, error.code))
            return Told(error=error.message, code=error.code)

    async def _joined(self, ask: Ask, address: str) -> Told:
        self._attempts.check(address)
        try:
            secret = bytes.fromhex(ask.token)
        except ValueError:
            secret = b""
        try:
            told = await asyncio.to_thread(self._certified, ask, lambda certify: self._registry.join(secret, ask.name, certify))
        except Unauthenticated:
            self._attempts.wrong(address)
            raise
        _log.info("node %s of group %s joined from %s", told.name, told.group, address)
        self.done(Event(f"node:{told.name}", "node.join", f"node/{told.name}", address, "done", {"group": told.group}))
        return told

    def _renewed(self, ask: Ask, fingerprint: str) -> Told:
        node = self._registry.known(fingerprint)
        if node is None:
            raise Unauthenticated("This certificate doesn't count here.", code="certificate-unknown")
        return self._certified(ask, lambda certify: self._registry.renew(node.name, fingerprint, certify))

    def _certified(self, ask: Ask, enter: Callable[[Callable[[str], tuple[str, float]]], Joined]) -> Told:
        made: list[bytes] = []

        def certify(name: str) -> tuple[str, float]:
            issued = self._authority.node(ask.request, name, self.lifetime_s)
            made.append(issued.pem)
            return issued.fingerprint, issued.not_after

        node = enter(certify)
        return Told(
            ca=self._authority.pem.decode(),
            certificate=made[0].decode(),
            name=node.name,
            group=node.group,
            keys=(self._control.public.hex(),),
            lifetime_s=self.lifetime_s,
        )
