"""Asking a control plane from elsewhere: where a token may go, and what comes back as an error."""

import argparse
from pathlib import Path

import httpx
import pytest

from bartizan.cli.remote import _check_private, _told, called
from bartizan.errors import BartizanError, Conflict, Forbidden, Invalid, NotFound, TooMany, Unauthenticated, Unavailable
from bartizan.model.problem import Place, Problem


@pytest.mark.parametrize("server", ["https://gateway.example:9181", "http://127.0.0.1:9181", "http://[::1]:1", "http://localhost:9181"])
def test_a_token_goes_over_tls_or_stays_on_the_machine(server: str) -> None:
    _check_private(server)


@pytest.mark.parametrize(
    "server",
    [
        "http://gateway.example",
        "http://192.0.2.1:9181",
        "http://127.0.0.1.example",
        "http://127.0.0.1@192.0.2.1",
        "ftp://127.0.0.1",
        "gateway:9181",
        "",
    ],
)
def test_and_nowhere_else(server: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("bzt_x")
    with pytest.raises(Unavailable, match="only sent over TLS"):
        called(argparse.Namespace(server=server, token_file=token, ca=None, state=tmp_path), "GET", "/v1/status")


def test_a_password_in_a_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("bzt_x")
    with pytest.raises(Unavailable, match="no user and no password") as refused:
        called(argparse.Namespace(server="https://ann:tiger@a.example", token_file=token, ca=None, state=tmp_path), "GET", "/v1/status")
    assert "tiger" not in refused.value.message


@pytest.mark.parametrize("kind", [NotFound, Conflict, Forbidden, Unauthenticated, TooMany, Unavailable])
def test_an_answer_is_the_error_it_tells_of(kind: type[BartizanError]) -> None:
    error = _told(httpx.Response(kind.status, json={"title": "t", "detail": "Not so.", "problems": []}))
    assert (type(error), error.message) == (kind, "Not so.")


def test_problems_come_along() -> None:
    problem = Problem(Place("api/Public/x", 1), "code", "message", "hint")
    error = _told(httpx.Response(422, json={"title": "t", "detail": "No.", "problems": [problem.to_json()]}))
    assert isinstance(error, Invalid)
    assert error.problems == (problem,)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"detail": "x", "problems": [1]}'])
def test_what_isnt_the_admin_api_is_told_as_such(body: bytes) -> None:
    assert "not as the admin API does" in _told(httpx.Response(502, content=body)).message


@pytest.mark.parametrize("content", ["", "\n", "\u00e9"])
def test_a_token_that_isnt_there_is_told(content: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(content)
    with pytest.raises((Unauthenticated, Unavailable)):
        called(argparse.Namespace(server="https://x.invalid", token_file=token, ca=None, state=tmp_path), "GET", "/v1/status")
