"""A key-encryption key that never leaves Vault, or what speaks as Vault's transit engine does: it is asked to wrap and to unwrap.

Asked when a state is opened and when keys are rotated, never for a request: data keys are in memory. If it can't be reached, what runs
goes on, and what starts waits for it.
"""

import base64
import binascii
import json
import os
import re
import ssl
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from bartizan.errors import Invalid, Unavailable
from bartizan.secrets.places import ring_file
from bartizan.secrets.sources._kind import Kek, Place, Unreachable

TOKENS = ("BARTIZAN_VAULT_TOKEN", "VAULT_TOKEN")
"""The variables that may hold a token, the first one first."""
_TIMEOUT_S = 5.0
_MOST = 1 << 16
_ADDRESS = re.compile(r"/v1(?P<mount>(/[A-Za-z0-9._-]+)+)/keys/(?P<name>[A-Za-z0-9._-]+)")
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_PASSES = {412, 429, 472, 473, 500, 502, 503, 504}
"""What Vault answers while it is sealed, a standby, overloaded, or can't reach its storage."""


class Transit(Kek):
    """A key of the transit engine, by its address in Vault's API."""

    source: Literal["transit"] = "transit"
    address: str
    token_file: str = ""
    """Read each time, since tokens are renewed; a variable if there is none."""
    ca: str = Field(default="")
    """The certificates of whoever issued Vault's; the system's if there are none."""

    @classmethod
    def at(cls, address: str, token_file: Path | None, ca: Path | None) -> "Transit":
        """The key at this address. Invalid if there can't be one, or others could read what is sent there."""
        try:
            split = urlsplit(address)
            port_fits = split.port != 0
        except ValueError:
            split, port_fits = urlsplit(""), False
        if not port_fits or not split.hostname or not _ADDRESS.fullmatch(split.path) or split.query or split.fragment or split.username:
            raise Invalid(f"{address!r} is no key of Vault's: its address is https://HOST:PORT/v1/transit/keys/NAME.", code="kek-unknown")
        if split.scheme == "http" and split.hostname not in _LOOPBACK:
            raise Invalid("Data keys go to Vault by https, or by http to this machine alone.", code="kek-insecure")
        return cls(address=address, token_file=str(token_file.absolute()) if token_file else "", ca=str(ca.absolute()) if ca else "")

    def told(self) -> str:
        return f"Vault's key {self.address}"

    def wrap(self, key: bytes, place: Place) -> str:
        found = self._asked("encrypt", {"plaintext": _text(key)}, place).get("ciphertext")
        if not isinstance(found, str) or not found:
            raise self._odd("a ciphertext")
        return found

    def unwrap(self, wrapped: str, place: Place) -> bytes:
        found = self._asked("decrypt", {"ciphertext": wrapped}, place).get("plaintext")
        try:
            return base64.b64decode(found if isinstance(found, str) else "?", validate=True)
        except (binascii.Error, ValueError):
            raise self._odd("a plaintext") from None

    def _asked(self, what: str, fields: dict[str, str], place: Place) -> dict[str, Any]:
        """`data` of the answer."""
        split = urlsplit(self.address)
        found = _ADDRESS.fullmatch(split.path)
        path = f"/v1{found['mount']}/{what}/{found['name']}" if found else split.path
        body = json.dumps({**fields, "associated_data": _text(place.context.encode())})
        headers = {"X-Vault-Token": self._token(), "X-Vault-Request": "true", "Content-Type": "application/json"}
        connection = self._connection(split.scheme, split.hostname or "", split.port)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            text = answer.read(_MOST)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "strerror", None) or error or type(error).__name__
            raise Unreachable(f"{self.told()} can't be asked: {reason}.") from error
        finally:
            connection.close()
        return self._data(answer, text, place)

    def _connection(self, scheme: str, host: str, port: int | None) -> HTTPConnection:
        if scheme == "http":
            return HTTPConnection(host, port, timeout=_TIMEOUT_S)
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
        except OSError as error:
            raise Unavailable(f"The certificates in {self.ca} can't be used: {error.strerror or error}.", code="kek-ca-unusable") from error
        return HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)

    def _token(self) -> str:
        if self.token_file:
            try:
                found = Path(self.token_file).read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise Unavailable(f"Vault's token in {self.token_file} can't be read: {error}.", code="kek-token-missing") from error
        else:
            found = next((text for name in TOKENS if (text := os.environ.get(name, "").strip())), "")
        if not found.isascii() or not found.isprintable() or not found:
            where = self.token_file or f"the variable {' or '.join(TOKENS)}"
            raise Unavailable(f"There is no token for {self.told()} in {where}.", code="kek-token-missing")
        return found

    def _data(self, answer: HTTPResponse, text: bytes, place: Place) -> dict[str, Any]:
        try:
            read = json.loads(text)
        except ValueError:
            read = None
        read = read if isinstance(read, dict) else {}
        if answer.status == 200 and isinstance(read.get("data"), dict):
            return dict(read["data"])
        errors = read.get("errors")
        said = "; ".join(str(one) for one in errors)[:300] if isinstance(errors, list) else ""
        told = f"{self.told()} refuses with status {answer.status}{f': {said}' if said.isprintable() and said else ''}."
        if answer.status in _PASSES:
            raise Unreachable(told)
        if answer.status == 400:
            raise Unavailable(f"{told} Is it the key that {ring_file(place.key)} was wrapped with?", code="kek-wrong")
        if answer.status in {401, 403}:
            raise Unavailable(f"{told} Its token needs to update encrypt and decrypt of this key.", code="kek-refused")
        raise Unavailable(f"{told} Look at its address.", code="kek-refused")

    def _odd(self, wanted: str) -> Unavailable:
        return Unavailable(f"{self.told()} answers without {wanted}: is it Vault's transit engine?", code="kek-refused")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
