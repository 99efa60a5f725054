"""Credentials and blocks that end soon."""

from pathlib import Path

import pytest

from bartizan.identity.brake import Brake
from bartizan.identity.expiring import Soon, blocks, certificates, consumers, keys, tokens, unused
from bartizan.identity.key_record import KeyRecord
from bartizan.identity.operators import Operator
from bartizan.secrets.sealed import Secret
from bartizan.telemetry.last_use import Used
from tests.certificates import authority
from tests.unit.meaning.made import FRAME, made

DAY = 86400.0
NOW = 1_800_000_000.0
SOON = Soon(NOW, NOW + 30 * DAY)
CASES = [(None, None), (NOW - 1, "has expired"), (NOW + DAY, "expires"), (NOW + 31 * DAY, None)]


@pytest.mark.parametrize(("ends", "told"), CASES)
def test_keys_tokens_and_blocks(ends: float | None, told: str | None) -> None:
    key = KeyRecord("key_a", "acme", "laptop", Secret("bz_text"), NOW, ends)
    token = Operator("tok_a", "ann", "editor", NOW, ends)
    found = [*keys([key], SOON), *tokens([token], SOON)]
    if ends is not None:
        found += blocks([Brake("brk_a", "consumer", "acme", "leaked", "ann", NOW, ends)], SOON)
    assert len(found) == (0 if told is None else 3)
    assert all(told in one.message and one.hint for one in found if told)
    assert not any("bz_text" in str(one) for one in found)
    assert {one.code for one in found} == ({"key-expires", "token-expires", "block-expires"} if told else set())


def test_the_first_token_is_meant_to_end() -> None:
    assert list(tokens([Operator("tok_a", "first", "admin", NOW, NOW + 60, once=True)], SOON)) == []


OLD = NOW - 100 * DAY
BEFORE = NOW - 90 * DAY


@pytest.mark.parametrize(
    ("created", "last", "since", "told"),
    [
        (OLD, None, OLD, "was never used"),
        (OLD, OLD + DAY, OLD, "was last used at 2026-10-08"),
        (OLD, NOW - DAY, OLD, None),
        (NOW - DAY, None, OLD, None),  # it is newer than that
        (OLD, None, NOW - DAY, None),  # nobody looked for so long
        (OLD, None, None, None),
    ],
)
def test_keys_that_nobody_uses(created: float, last: int | None, since: int | None, told: str | None) -> None:
    key = KeyRecord("key_a", "acme", "laptop", Secret("bz_text"), created, None)
    known = Used({} if last is None else {"key_a": int(last)}, None if since is None else int(since))
    found = list(unused([key], known, BEFORE))
    assert [one.code for one in found] == ([] if told is None else ["key-unused"])
    assert all(told in one.message and "bartizan key revoke key_a" in one.hint for one in found if told)


def test_a_key_that_ends_for_its_successor_isnt_told_to_be_unused() -> None:
    key = KeyRecord("key_a", "acme", "", Secret("bz_text"), OLD, None, (), "key_b")
    assert list(unused([key], Used({}, int(OLD)), BEFORE)) == []


def test_consumers_that_live_for_a_time() -> None:
    days = ("2027-01-20T00:00:00Z", "2027-06-01T00:00:00Z")
    texts = [f"{{kind: Consumer, name: c{i}, expires: '{when}'}}" for i, when in enumerate(days)]
    off = "{kind: Consumer, name: off, expires: '2027-01-20T00:00:00Z', disabled: true}"
    found = list(consumers(made(*texts, off).snapshot, SOON))
    assert [(one.code, str(one.at.path)) for one in found] == [("consumer-expires", "Consumer/c0: expires")]
    assert "expires at 2027-01-20 00:00 UTC" in found[0].message


def test_certificates_in_files(tmp_path: Path) -> None:
    pair = authority("Web")
    server = pair.server()
    server.save(tmp_path, "web")
    frame = FRAME.replace("upstream: http://127.0.0.1:9101", "upstream: {endpoints: [{url: https://127.0.0.1:1}], tls: {ca: root.pem}}")
    (tmp_path / "root.pem").write_bytes(pair.pem)
    tls = (
        "{kind: Tls, name: safe, target: {listener: web}, certificate: web.pem, private_key: {file: web.key}, client_cas: {corp: root.pem}}"
    )
    snapshot = made(tls, frame=frame, files={"root.pem": pair.pem}).snapshot
    late = Soon(4e9, 4e9 + DAY)
    assert list(certificates(snapshot, tmp_path, Soon(NOW - 1e9, NOW - 1e9))) == []
    found = list(certificates(snapshot, tmp_path, late))
    assert [one.at.path for one in found] == ["Tls/safe: certificate", "Tls/safe: client_cas.corp", "Api/orders: upstream.tls.ca"]
    assert all("has expired" in one.message for one in found)
