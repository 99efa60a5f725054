"""The sessions of this user with admin APIs: a token by each server, in one file that only they can read."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from bartizan.lib.files import replaced

FILE = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "bartizan" / "sessions.json"


def keep(server: str, session: Mapping[str, Any]) -> None:
    """Takes a session: its `token`, and when it `expires` in seconds since the epoch."""
    _write({**_held(), _place(server): {"token": session["token"], "expires": session["expires"]}})


def token_of(server: str) -> str:
    """The token of the session there; empty if there is none that counts."""
    one = _held().get(_place(server))
    return str(one["token"]) if one is not None and one["expires"] > time.time() else ""


def forget(server: str) -> None:
    """Drops the session there."""
    _write({name: one for name, one in _held().items() if name != _place(server)})


def _place(server: str) -> str:
    return server.rstrip("/").lower()


def _held() -> dict[str, Any]:
    with suppress(OSError, ValueError, AttributeError):
        return {name: one for name, one in orjson.loads(FILE.read_bytes()).items() if {"token", "expires"} <= set(one)}
    return {}


def _write(sessions: Mapping[str, Any]) -> None:
    FILE.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replaced(FILE, orjson.dumps(dict(sessions)))
