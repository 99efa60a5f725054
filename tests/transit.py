"""A server that speaks the documented protocol of Vault's transit engine (POST /v1/MOUNT/encrypt|decrypt/NAME), for keys of AES-256-GCM.

It keeps to what the API's documentation says: base64 in JSON, `vault:v1:` before ciphertexts, associated data authenticated, a token in
X-Vault-Token, errors as {"errors": [...]} with 400, 403, 404, 503 (sealed) and 307 (standby).
"""

import base64
import json
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Transit:
    """What is behind the server. `status` is answered instead, if it isn't 0."""

    def __init__(self) -> None:
        self.tokens = {"a-good-token"}
        self.keys: dict[str, list[bytes]] = {"bartizan": [os.urandom(32)], "other": [os.urandom(32)]}
        self.status = 0
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.hang = threading.Event()
        self.hang.set()
        self.port = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/transit/keys/bartizan"

    def rotate(self, name: str = "bartizan") -> None:
        """As POST /transit/keys/NAME/rotate does: older ciphertexts are opened on."""
        self.keys[name].append(os.urandom(32))

    def answer(self, path: str, token: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if self.status:
            return self.status, {"errors": ["Vault is sealed"] if self.status == 503 else ["no"]}
        if token not in self.tokens:
            return 403, {"errors": ["permission denied"]}
        parts = path.split("/")
        if len(parts) != 5 or parts[:3] != ["", "v1", "transit"] or parts[3] not in {"encrypt", "decrypt"}:
            return 404, {"errors": []}
        fields = json.loads(body)
        self.asked.append((path, fields))
        if parts[4] not in self.keys:
            return 400, {"errors": ["encryption key not found"]}
        return self._done(parts[3], self.keys[parts[4]], fields)

    def _done(self, what: str, versions: list[bytes], fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        aad = base64.b64decode(fields.get("associated_data", ""), validate=True)
        if what == "encrypt":
            nonce = os.urandom(12)
            sealed = nonce + AESGCM(versions[-1]).encrypt(nonce, base64.b64decode(fields["plaintext"], validate=True), aad)
            number = len(versions)
            return 200, {"data": {"ciphertext": f"vault:v{number}:{base64.b64encode(sealed).decode()}", "key_version": number}}
        prefix, version, text = fields["ciphertext"].split(":")
        try:
            raw = base64.b64decode(text, validate=True)
            opened = AESGCM(versions[int(version[1:]) - 1]).decrypt(raw[:12], raw[12:], aad)
        except (InvalidTag, IndexError, ValueError):
            return 400, {"errors": ["cipher: message authentication failed"]}
        assert prefix == "vault"
        return 200, {"data": {"plaintext": base64.b64encode(opened).decode()}}


@contextmanager
def transit(context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Transit]:
    """The server on a port of loopback; with TLS if there is a context."""
    behind = Transit()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            behind.hang.wait(30)
            body = self.rfile.read(int(self.headers["content-length"]))
            status, told = behind.answer(self.path, self.headers.get("x-vault-token", ""), body)
            text = json.dumps(told).encode()
            self.send_response(status)
            if status == 307:
                self.send_header("location", "http://127.0.0.1:1/v1/elsewhere")
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    behind.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield behind
    finally:
        behind.hang.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
