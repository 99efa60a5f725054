"""HTTP/2 as an attacker speaks it: what it is told to send goes out unchecked."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

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
