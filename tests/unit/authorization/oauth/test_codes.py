"""Codes: authorization codes count once, device codes wait for somebody to decide."""

import threading

import pytest

from bartizan.authorization.oauth.codes import CODE_S, DEVICE_S, INTERVAL_S, Codes, DeviceCodes, Used, Waiting
from bartizan.authorization.rows import digest
from bartizan.errors import NotFound
from tests.unit.authorization.rig import Rig

VALUE = {"client": "web", "redirect_uri": "https://app.example.com/callback", "scope": "openid", "nonce": "n", "code_challenge": "c"}


@pytest.fixture
def codes(rig: Rig) -> Codes:
    return Codes(rig.store.authorizations)


@pytest.fixture
def devices(rig: Rig) -> DeviceCodes:
    return DeviceCodes(rig.store.authorizations)


def test_a_code_stands_for_what_was_allowed_once(rig: Rig, codes: Codes) -> None:
    who = rig.person()
    codes.keep("the code", VALUE, who)
    for wrong in ("", "the cod", "the code ", digest("the code")):
        assert codes.take(wrong) is None
    found = codes.take("the code")
    assert found is not None and found.who == who and (found.client, found.get_scope(), found.get_nonce()) == ("web", "openid", "n")
    assert found.get_redirect_uri() == VALUE["redirect_uri"] and (found.code_challenge, found.code_challenge_method) == ("c", "S256")
    assert (found.get_auth_time(), found.get_acr(), found.get_amr()) == (int(who.at), "mfa", ["pwd", "otp"])
    assert codes.take("the code") is None


def test_a_code_counts_for_a_minute(rig: Rig, codes: Codes) -> None:
    assert CODE_S == 60
    for name, seconds in (("one", 59.9), ("two", 60.0)):
        codes.keep(name, VALUE, rig.person())
        rig.now += seconds
        assert (codes.take(name) is not None) is (seconds < 60)


def test_of_many_who_show_a_code_at_once_one_gets_it(rig: Rig, codes: Codes) -> None:
    codes.keep("the code", VALUE, rig.person())
    came: list[object] = []
    threads = [threading.Thread(target=lambda: came.append(codes.take("the code"))) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(one is not None for one in came) == 1


def test_what_a_code_came_to_is_told_once_to_who_shows_it_again(rig: Rig, codes: Codes) -> None:
    codes.keep("the code", VALUE, rig.person())
    assert codes.came_of("the code") is None, "it wasn't used yet"
    found = codes.take("the code")
    assert found is not None and codes.came_of("the code") is None
    codes.used(found, Used("jti", rig.now + 300, "fam_1"))
    assert codes.came_of("another") is None and codes.take("the code") is None
    rig.now += 3699
    assert codes.came_of("the code") == Used("jti", rig.now - 3399, "fam_1") and codes.came_of("the code") is None


def test_the_store_holds_no_code(rig: Rig, codes: Codes, devices: DeviceCodes) -> None:
    codes.keep("a-code-of-somebody", VALUE, rig.person())
    secret, _ = devices.begin("tv", "orders.read")
    with rig.store.database.reading() as connection:
        kept = repr(connection.exec_driver_sql("SELECT * FROM authorizations").all())
    assert "a-code-of-somebody" not in kept and secret not in kept


def waiting(devices: DeviceCodes, secret: str) -> Waiting:
    found = devices.waiting(secret)
    assert found is not None
    return found


def test_a_code_that_people_type_spells_nothing_and_is_read_however_it_is_typed(devices: DeviceCodes) -> None:
    secret, typed = devices.begin("tv", "orders.read")
    assert len(typed) == 9 and typed[4] == "-" and not set(typed) - set("BCDFGHJKLMNPQRSTVWXZ-")
    for shown in (typed, typed.lower(), typed.replace("-", ""), f" {typed[:4]} {typed[5:]}\n", ".".join(typed)):
        found = devices.typed(shown)
        assert found is not None and found.get_client_id() == "tv" and found.get_scope() == "orders.read" and found.get_user_code() == typed
    for wrong in ("", typed[:-1], typed + "B", secret, "\0", "é" * 8):
        assert devices.typed(wrong) is None
    assert devices.waiting(typed) is None and waiting(devices, secret).get_client_id() == "tv"
    assert devices.begin("tv", "")[1] != typed


def test_device_codes_end(rig: Rig, devices: DeviceCodes) -> None:
    secret, typed = devices.begin("tv", "orders.read")
    rig.now += DEVICE_S - 0.1
    assert waiting(devices, secret) and devices.typed(typed)
    rig.now += 0.1
    assert devices.waiting(secret) is None and devices.typed(typed) is None
    with pytest.raises(NotFound):
        devices.decide(typed, rig.person())


@pytest.mark.parametrize("allows", [True, False])
def test_somebody_decides_once(rig: Rig, devices: DeviceCodes, allows: bool) -> None:
    (secret, typed), (other, _) = devices.begin("tv", "orders.read"), devices.begin("tv", "orders.read")
    who = rig.person()
    assert devices.decided(waiting(devices, secret)) is None
    devices.decide(typed.lower(), who if allows else None)
    assert devices.decided(waiting(devices, secret)) == ((who, True) if allows else (None, False))
    for again in (who, None):
        with pytest.raises(NotFound):
            devices.decide(typed, again)
    assert devices.typed(typed) is None and devices.decided(waiting(devices, other)) is None
    found = waiting(devices, secret)
    assert [devices.take(found), devices.take(found)] == [True, False] and devices.waiting(secret) is None


def test_a_decision_isnt_lost_to_an_application_that_asks_meanwhile(rig: Rig, devices: DeviceCodes) -> None:
    secret, typed = devices.begin("tv", "orders.read")
    before = waiting(devices, secret)
    devices.decide(typed, rig.person())
    assert devices.too_soon(before), "what it saw is old"
    assert devices.decided(waiting(devices, secret)) is not None


def test_who_asks_too_often_waits_longer_each_time(rig: Rig, devices: DeviceCodes) -> None:
    secret, _ = devices.begin("tv", "orders.read")

    def asks(after: float) -> bool:
        rig.now += after
        return devices.too_soon(waiting(devices, secret))

    assert [asks(0), asks(INTERVAL_S), asks(4.4), asks(INTERVAL_S), asks(15), asks(14), asks(20)] == [
        False,
        False,
        True,
        True,
        False,
        True,
        False,
    ]
    rig.now = 1_800_000_000.0 + DEVICE_S
    assert devices.waiting(secret) is None, "asking doesn't make it last"
