"""What fields of resources take and refuse."""

import pytest
from pydantic import ValidationError

from bartizan.model.api import Api
from bartizan.model.gateway import CredentialPlaces

TAKEN = ("host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "authorization", "cookie", "x-request-id")
ODD = ("", "X-Caller", "x_caller", "x caller", "x-c\u00e4ller", ":path", "x-caller:", "a" * 65, "x-bartizan-key", "x-envoy-internal")


@pytest.mark.parametrize("name", (*TAKEN, *ODD))
def test_a_header_with_a_meaning_of_its_own_is_given_no_other(name: str) -> None:
    with pytest.raises(ValidationError):
        CredentialPlaces.model_validate({"headers": [name]})
    with pytest.raises(ValidationError):
        Api.model_validate({"name": "a", "paths": ["/a"], "upstream": "http://a", "identity_headers": {name: "id"}})


def test_any_other_header_is_fine() -> None:
    assert CredentialPlaces.model_validate({"headers": ["x-api-key", "api-key"]}).headers == ("x-api-key", "api-key")
    made = Api.model_validate(
        {"name": "a", "paths": ["/a"], "upstream": "http://a", "identity_headers": {"x-caller": "id", "remote-user": "id"}}
    )
    assert set(made.identity_headers) == {"x-caller", "remote-user"}
