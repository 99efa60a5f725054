"""Asks a control plane: the one of this machine over its unix socket, or with `--server` another over its admin API.

The client is imported when it is used: it takes longer than most commands.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bartizan.admin.options import api_socket
from bartizan.errors import BartizanError, Conflict, Forbidden, Invalid, NotFound, TooMany, Unauthenticated, Unavailable
from bartizan.lib.urls import is_private
from bartizan.model.problem import Problem

_NOBODY = "Nobody answers."
TOKEN = "BARTIZAN_TOKEN"  # noqa: S105 - the name of a variable
_ERRORS: dict[int, type[BartizanError]] = {
    one.status: one for one in (NotFound, Conflict, Forbidden, Unauthenticated, TooMany, Unavailable, Invalid)
}


def asked(state: Path, path: str) -> Any:
    """What the control plane of this machine answers to a GET. Unavailable if none runs with this state."""
    return _call(_local(state), "GET", path, None, f"No gateway runs with the state in {state}.")


def told_local(state: Path, path: str, body: Any) -> bool:
    """Tells something to the control plane of this machine. False if none runs with this state; raises if it can't take it."""
    if not api_socket(state.absolute()).exists():
        return False
    try:
        _call(_local(state), "POST", path, body, _NOBODY)
    except Unavailable as error:
        if error.message.startswith(_NOBODY):
            return False
        raise
    return True


def runs(state: Path) -> bool:
    """Whether a control plane runs with this state."""
    try:
        _call(_local(state), "GET", "/status", None, _NOBODY)
    except Unavailable as error:
        if not error.message.startswith(_NOBODY):
            raise
        return False
    return True


def remote(parser: argparse.ArgumentParser) -> None:
    """`--state`, or `--server` and `--token-file`: which control plane is meant."""
    parser.add_argument("--state", type=Path, default=Path(".bartizan"), metavar="DIR", help="the gateway's state (default: .bartizan)")
    server(parser)


def server(parser: argparse.ArgumentParser, ca: str = "--ca", *, tokens: bool = True) -> None:
    """`--server` and `--token-file`: the control plane of another machine. `ca`: another name for that option."""
    parser.add_argument("--server", metavar="URL", help="the admin API of another machine, such as https://gateway.example:9181")
    if tokens:
        told = f"the file with its token (else the variable {TOKEN}, or the session that `bartizan login` began)"
        parser.add_argument("--token-file", type=Path, metavar="FILE", help=told)
    parser.add_argument(ca, type=Path, dest="server_ca", metavar="FILE", help="the certificates of whoever issued its certificate (PEM)")


def called(read: argparse.Namespace, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    """What the control plane that is meant answers. The errors that it tells are raised, with their problems."""
    client, missing = _client(read)
    client.headers.update(headers or {})
    return _call(client, method, path, body, missing)


def tried(read: argparse.Namespace, path: str, body: Any = None) -> Any:
    """The same, of somebody who isn't known there yet: what a POST is answered, or without a body a GET."""
    client, missing = _client(read, known=False)
    return _call(client, "POST" if body is not None else "GET", path, body, missing)


def believing(read: argparse.Namespace) -> Any:
    """Whose certificates are believed, for httpx: those of `--ca`, or the system's."""
    return _trusting(read.server_ca) if read.server_ca is not None else True


def _client(read: argparse.Namespace, *, known: bool = True) -> tuple[Any, str]:
    """How to ask it, and what to say if nobody answers. `known`: it is told who asks."""
    if read.server is None:
        return _local(read.state), f"No gateway runs with the state in {read.state}."
    import httpx

    _check_private(read.server)
    headers = {"authorization": f"Bearer {_token(read)}"} if known else {}
    client = httpx.Client(base_url=read.server, headers=headers, verify=believing(read), timeout=60)
    return client, f"The admin API at {read.server} can't be reached."


def _check_private(server: str) -> None:
    """A token isn't sent where others can read it."""
    if "@" in server:  # it isn't repeated: what stands there may be a password
        raise Unavailable("A token is only sent over TLS, to a URL that holds no user and no password.")
    if not is_private(server):
        raise Unavailable(f"A token is only sent over TLS: {server} isn't https://, and isn't on this machine.")


def _trusting(ca: Path) -> Any:
    import ssl

    try:
        return ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise Unavailable(f"The certificates in {ca} can't be used: {error}.") from error


def _token(read: argparse.Namespace) -> str:
    file: Path | None = getattr(read, "token_file", None)
    try:
        text = file.read_text(encoding="ascii") if file is not None else os.environ.get(TOKEN, "")
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"The token in {file} can't be read.") from error
    if not text.strip() and file is None:
        from bartizan.cli.sessions import token_of

        text = token_of(read.server)
    if not text.strip():
        raise Unauthenticated(f"A token is needed: `bartizan login NAME --server {read.server}`, or give --token-file, or set {TOKEN}.")
    return text.strip()


def _local(state: Path) -> Any:
    import httpx

    transport = httpx.HTTPTransport(uds=str(api_socket(state.absolute())))
    return httpx.Client(transport=transport, base_url="http://control", timeout=60)


def _call(client: Any, method: str, path: str, body: Any, missing: str) -> Any:
    import httpx

    try:
        with client:
            answer = client.request(method, path, **({"json": body} if body is not None else {}))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        hint = "Start one with `bartizan up`, or name its folder with --state." if "state" in missing else f"{error}"
        raise Unavailable(f"{missing} {hint}") from error
    if answer.is_success:
        return answer.json()
    raise _told(answer)


def _told(answer: Any) -> BartizanError:
    """What the answer says is wrong."""
    try:
        told = answer.json()
        message = str(told.get("detail") or told["title"])
        problems = tuple(Problem.from_json(one) for one in told.get("problems", ()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Unavailable(f"It answered {answer.status_code}, and not as the admin API does.")
    kind = _ERRORS.get(answer.status_code, Invalid if answer.status_code == 412 else Unavailable)
    return Invalid(message, problems=problems) if kind is Invalid else kind(message)
