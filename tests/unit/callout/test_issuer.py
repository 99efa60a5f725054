"""Issuers as the node tells them."""

from pathlib import Path

import pytest

from bartizan.callout.issuer import issuers
from bartizan.identity.introspection import Introspections
from tests.unit.identity.test_introspection import issuer


def test_they_are_read_as_the_control_plane_writes_them(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    declared = Introspections(tmp_path)
    declared.declare({"corp": issuer()})
    (body,) = declared.notes().values()
    found = issuers(body)["corp"]
    assert (found.url, found.client_id, found.client_secret, found.audiences) == ("https://idp.example.com/i", "gw", "s3cret", ("orders",))
    assert (found.cache_s, found.timeout_s, found.per_second, found.skew_s, found.post) == (30.0, 2.0, 100, 30.0, False)
    assert found.headers == {"x-bartizan-claim-department": "dep", "x-bartizan-claim-groups": "roles"}
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    "note", [b"", b"{}", b"[]", b'{"issuers": 7}', b'{"issuers": [{}]}', b'{"issuers": [{"name": "a", "audiences": []}]}']
)
def test_another_note_is_none(note: bytes) -> None:
    with pytest.raises(ValueError, match="can't be read"):
        issuers(note)
