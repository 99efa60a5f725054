"""The authorization server as it is declared: what can't be meant, or mustn't be."""

from typing import Any

import pytest
from pydantic import ValidationError

from bartizan.authorization.clients import ADMIN_API
from bartizan.model.authorization import AuthorizationServer


def declared(**client: Any) -> AuthorizationServer:
    told = {"redirect_uris": ["https://app.example.com/back"], **client}
    return AuthorizationServer.model_validate({"issuer": "https://login.example.com", "clients": {"web": told}})


def test_no_application_gets_tokens_with_which_people_log_in_to_the_admin_api() -> None:
    assert declared(audiences=["orders"]).clients["web"].audiences == ("orders",)
    for audiences in ([ADMIN_API], ["orders", ADMIN_API]):
        with pytest.raises(ValidationError, match="Bartizan's own"):
            declared(audiences=audiences)


@pytest.mark.parametrize(
    "uri",
    ["javascript:alert(1)", "data:text/html,x", "http://app.example.com/", "https://a@b.example.com/", "https://a.example.com/#x", "//x"],
)
def test_people_are_sent_to_no_such_place(uri: str) -> None:
    with pytest.raises(ValidationError):
        declared(redirect_uris=[uri])
