"""What the authorization server tells the admin API of somebody who logs in."""

from dataclasses import replace
from typing import Any, cast

import pytest

from bartizan.authorization.person import PHISHING_RESISTANT
from bartizan.errors import Forbidden
from bartizan.model.authorization import AuthorizationServer
from bartizan.model.snapshot import Snapshot
from bartizan.plane.authorization import Authorization
from tests.unit.plane.test_desk import CALLERS, FILES, compiled


def told(active: Snapshot | None) -> Authorization:
    nothing = cast("Any", None)
    return Authorization(cast("Any", _Store()), nothing, nothing, (nothing, nothing, nothing), lambda: active)


class _Store:
    authorizations = None


def test_a_role_for_passkeys_alone_is_for_passkeys_alone() -> None:
    active = compiled(FILES, CALLERS % "").snapshot
    server = AuthorizationServer.model_validate({"issuer": "https://login.example.com", "operators": {"phishing_resistant": ["admin"]}})
    with_server = active.gateway.model_copy(update={"authorization_server": server})
    some = told(replace(active, gateway=with_server))
    for acr in ("", "mfa", "phrh", "PHR"):
        with pytest.raises(Forbidden, match="passkey"):
            some.check_factor("admin", acr)
    some.check_factor("admin", PHISHING_RESISTANT)
    some.check_factor("editor", "mfa")


def test_while_nothing_is_active_nobody_logs_in_without_a_passkey() -> None:
    with pytest.raises(Forbidden, match="No revision is active"):
        told(None).check_factor("viewer", "mfa")
    told(None).check_factor("admin", PHISHING_RESISTANT)
