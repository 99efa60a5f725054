"""Which issuers are asked about tokens (RFC 7662), where and as whom: told to the nodes as a note, in which stand the gateway's secrets at
these issuers."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from bartizan.envoy import names
from bartizan.identity.named import NamedSecrets
from bartizan.identity.referred import UNREADABLE, secret_text
from bartizan.model.consumer import Introspection, Issuer

_log = logging.getLogger("bartizan")
_LONGEST = 4096


class Introspections:
    """The issuers that are asked, each with the secret of now. A secret that can't be read is told as none: nothing is asked without it."""

    def __init__(self, folder: Path, named: NamedSecrets | None = None) -> None:
        self._folder, self._named = folder, named
        self._issuers: dict[str, Issuer] = {}
        self._secrets: dict[str, str | None] = {}
        self._errors: dict[str, str] = {}

    def declare(self, issuers: Mapping[str, Issuer]) -> None:
        """The issuers there are now."""
        self._issuers = {name: one for name, one in sorted(issuers.items()) if one.introspection is not None}
        self.refresh()

    def refresh(self) -> bool:
        """Reads all secrets again. Whether one is another now."""
        before, errors = self._secrets, self._errors
        self._secrets, self._errors = {}, {}
        for name, issuer in self._issuers.items():
            if issuer.introspection is not None:
                self._secrets[name] = self._read(name, issuer.introspection)
        for name, error in self._errors.items():
            if errors.get(name) != error:
                _log.error("Issuer/%s: %s", name, error)
        return self._secrets != before

    def _read(self, name: str, how: Introspection) -> str | None:
        try:
            text = secret_text(how.client_secret, self._folder, self._named, how.use)
        except UNREADABLE:
            self._errors[name] = f"its client_secret, {how.client_secret.told}, can't be read, or isn't for this endpoint"
            return None
        if not text or len(text) > _LONGEST or not text.isprintable():
            self._errors[name] = f"its client_secret, {how.client_secret.told}, is empty, too long, or no text"
            return None
        return text

    def notes(self) -> dict[str, bytes]:
        """What the nodes are told, by the note's name; nothing if no issuer is asked."""
        told = [_told(issuer, issuer.introspection, self._secrets[name]) for name, issuer in self._issuers.items() if issuer.introspection]
        return {names.ASKING: orjson.dumps({"issuers": told})} if told else {}

    def warnings(self) -> list[str]:
        """What `status` tells. No secret is named."""
        return [
            f"Issuer/{name}: introspection: {error}; tokens about which it would be asked get 503" for name, error in self._errors.items()
        ]


def _told(issuer: Issuer, how: Introspection, secret: str | None) -> dict[str, Any]:
    """What the call-out has to know of an issuer. `headers`: where it puts which claim."""
    headers = {names.claim_header(attribute): claim for attribute, claim in issuer.attributes.items()}
    if issuer.groups:
        headers[names.claim_header("groups")] = issuer.groups
    return {
        "name": issuer.name,
        "issuer": issuer.issuer,
        "audiences": issuer.audiences,
        "skew_s": issuer.clock_skew.total_seconds(),
        "subject": names.subject_header(issuer.name),
        "headers": headers,
        "url": how.url,
        "client_id": how.client_id,
        "client_secret": secret,
        "post": how.authentication == "post",
        "cache_s": how.cache.total_seconds(),
        "timeout_s": how.timeout.total_seconds(),
        "per_second": how.per_second,
    }
