"""HTTP/2 as an attacker speaks it: what it is told to send goes out unchecked."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events

Headers = Sequence[tuple[str, str]]


@dataclass
class Answer:
    """What came back. `end` is ended, reset, goaway, closed or late."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    end: str = "late"

    @property
    def status(self) -> int:
        """The status, 0 if there was no answer."""
        return int(self.headers.get(":status", "0"))

    def hear(self, event: h2.events.Event) -> None:
        """Takes what an event of the stream tells."""
        if isinstance(event, h2.events.ResponseReceived):
            self.headers = {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, h2.events.TrailersReceived):
            self.trailers = {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, h2.events.DataReceived):
            self.body += event.data
        for kind, end in _ENDS.items():
            if isinstance(event, kind):
                self.end = end


_ENDS: dict[type[h2.events.Event], str] = {
    h2.events.StreamEnded: "ended",
    h2.events.StreamReset: "reset",
    h2.events.ConnectionTerminated: "goaway",
}


def request(method: str, path: str, authority: str = "a", *more: tuple[str, str]) -> list[tuple[str, str]]:
    """The headers of an ordinary request."""
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", authority), *more]


async def send(port: int, headers: Headers, body: bytes = b"", trailers: Headers = (), read_s: float = 3.0) -> Answer:
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    config = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="latin-1")
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    connection.send_headers(1, raw, end_stream=not body and not trailers)
    if body:
        connection.send_data(1, body, end_stream=not trailers)
    if trailers:
        connection.send_headers(1, trailers, end_stream=True)
    writer.write(connection.data_to_send())
    answer = Answer()
    try:
        async with asyncio.timeout(read_s):
            while answer.end == "late":
                data = await reader.read(65536)
                if not data:
                    answer.end = "closed"
                    break
                for event in connection.receive_data(data):
                    answer.hear(event)
                writer.write(connection.data_to_send())
    except (TimeoutError, ConnectionResetError):
        answer.end = answer.end if answer.end != "late" else "closed"
    finally:
        writer.close()
    return answer


class _Server:
    """One connection to the upstream: tells what it was sent, as JSON; on a path that ends in /echo sends each frame back as it comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        self.sent: dict[int, dict[str, Any]] = {}

    async def run(self) -> None:
        self.connection.initiate_connection()
        self.writer.write(self.connection.data_to_send())
        try:
            while data := await self.reader.read(65536):
                for event in self.connection.receive_data(data):
                    self.take(event)
                self.writer.write(self.connection.data_to_send())
                await self.writer.drain()
        except ConnectionError:
            return
        finally:
            self.writer.close()

    def take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self.sent[event.stream_id] = {"headers": list(event.headers), "trailers": [], "body": ""}
            if self.echoes(event.stream_id):
                self.connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
        elif isinstance(event, h2.events.TrailersReceived):
            self.sent[event.stream_id]["trailers"] = list(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.sent[event.stream_id]["body"] += event.data.decode("latin-1")
            if self.echoes(event.stream_id):
                self.connection.send_data(event.stream_id, event.data)
        elif isinstance(event, h2.events.StreamEnded):
            self.end(event.stream_id)

    def echoes(self, stream: int) -> bool:
        return any(name == ":path" and value.endswith("/echo") for name, value in self.sent[stream]["headers"])

    def end(self, stream: int) -> None:
        if self.echoes(stream):
            self.connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)
            return
        self.connection.send_headers(stream, [(":status", "200"), ("content-type", "application/json")])
        self.connection.send_data(stream, json.dumps(self.sent[stream]).encode(), end_stream=True)


@asynccontextmanager
async def upstream() -> AsyncIterator[int]:
    """A server that speaks HTTP/2 without TLS, on a port."""
    server = await asyncio.start_server(lambda reader, writer: _Server(reader, writer).run(), "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
