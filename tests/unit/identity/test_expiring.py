"""Credentials and blocks that end soon."""

from pathlib import Path

import pytest

from bartizan.identity.brake import Brake
from bartizan.identity.expiring import Soon, blocks, certificates, keys, tokens
from bartizan.identity.keys import KeyRecord
from bartizan.identity.operators import Operator
from bartizan.secrets.sealed import Secret
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
