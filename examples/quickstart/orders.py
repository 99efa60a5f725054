"""A small orders API, the upstream of the quickstart: lists orders, takes refunds, and tells what it was told of the caller."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ORDERS = [{"id": 1, "item": "lamp", "total": 40}, {"id": 2, "item": "desk", "total": 310}]


class Orders(BaseHTTPRequestHandler):
    """The API."""

    protocol_version = "HTTP/1.1"

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_GET(self) -> None:
        """Lists orders."""
        path = self.path.partition("?")[0].rstrip("/")
        if path == "/orders/health":
            self._answer(200, {"status": "ok"})
        elif path == "/orders":
            self._answer(200, {"orders": ORDERS, "caller": self.headers.get("x-caller")})
        else:
            found = [order for order in ORDERS if path == f"/orders/{order['id']}"]
            self._answer(200 if found else 404, found[0] if found else {"error": "no such order"})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Takes a refund."""
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path.rstrip("/") == "/orders/refunds":
            self._answer(201, {"refunded": True, "by": self.headers.get("x-caller")})
        else:
            self._answer(404, {"error": "nothing here"})

    def log_message(self, format: str, *args: object) -> None:
        """The gateway keeps the records."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9101), Orders).serve_forever()
