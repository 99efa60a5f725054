"""Issuers that are asked, as the nodes are told."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from bartizan.identity.introspection import Introspections
from bartizan.model.consumer import Issuer
from bartizan.model.named import Destination


def document(**more: Any) -> dict[str, Any]:
    how = {"url": "https://idp.example.com/i", "client_id": "gw", "client_secret": {"file": "secret"}, **more}
    told = {"kind": "Issuer", "name": "corp", "issuer": "https://idp.example.com", "audiences": ["orders"], "introspection": how}
    return {**told, "attributes": {"department": "dep"}, "groups": "roles"}


def issuer(**more: Any) -> Issuer:
    return Issuer.model_validate(document(**more))


def test_secrets_are_followed_and_never_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked = Introspections(tmp_path)
    assert asked.notes() == {}
    asked.declare({"corp": issuer()})

    def secret() -> Any:
        (body,) = asked.notes().values()
        return orjson.loads(body)["issuers"][0]["client_secret"]

    assert secret() is None
    (warning,) = asked.warnings()
    assert warning.startswith("Issuer/corp: introspection: its client_secret, secret, can't be read")
    (tmp_path / "secret").write_text("s3cret\n")
    assert asked.refresh() and secret() == "s3cret" and not asked.warnings()
    assert not asked.refresh()
    (tmp_path / "secret").write_text("an\nother")
    assert asked.refresh() and secret() is None and "no text" in asked.warnings()[0]
    assert "s3cret" not in caplog.text and "other" not in caplog.text
    asked.declare({})
    assert asked.notes() == {} and not asked.warnings()


def test_whoever_has_keys_and_is_not_asked_isnt_told(tmp_path: Path) -> None:
    asked = Introspections(tmp_path)
    plain = Issuer.model_validate({"kind": "Issuer", "name": "a", "issuer": "https://a.example.com", "audiences": ["x"]})
    asked.declare({"a": plain})
    assert asked.notes() == {}


def test_the_secret_is_for_the_endpoint() -> None:
    assert issuer().introspection.use.to == (Destination("idp.example.com", 443),)  # type: ignore[union-attr]
    assert issuer(url="https://[2001:db8::7]:8443/i").introspection.use.to == (Destination("2001:db8::7", 8443),)  # type: ignore[union-attr]
    assert issuer(url="http://127.0.0.1/i").introspection.use.to == (Destination("127.0.0.1", 80),)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "more",
    [
        {"url": "http://idp.example.com/i"},
        {"url": "ftp://idp.example.com/i"},
        {"url": "https://gw:pw@idp.example.com/i"},
        {"url": "https://idp.example.com/i#x"},
        {"url": "idp"},
        {"cache": "11m"},
        {"timeout": "5s"},
        {"timeout": "0s"},
        {"per_second": 0},
        {"prefix": "a b"},
        {"prefix": "ä"},
        {"client_secret": "in the open"},
        {"client_id": "a\nb"},
        {"authentication": "none"},
    ],
)
def test_what_cant_be_declared(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        issuer(**more)


def test_with_introspection_alone_it_has_no_keys() -> None:
    assert not issuer().has_keys
    assert Issuer.model_validate({**document(), "jwks": "https://idp.example.com/jwks"}).has_keys
    with pytest.raises(ValidationError, match="signed tokens"):
        Issuer.model_validate({**document(), "types": ["at+jwt"]})
