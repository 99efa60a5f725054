"""Beats are believed from whom releases are."""

import pytest

from bartizan.secrets.signing import verified
from bartizan.xds.beat import Beat, opened_beat, signed_beat
from tests.signing import SIGNER, STRANGER

BEAT = Beat(group="default", sequence=7, at=1000.5)


def trusted(key: bytes, signature: bytes, data: bytes) -> bool:
    return key == SIGNER.public and verified(key, signature, data)


def test_there_and_back() -> None:
    assert opened_beat(signed_beat(BEAT, SIGNER), trusted) == BEAT


@pytest.mark.parametrize("how", ["stranger", "changed", "cut", "empty"])
def test_what_isnt_signed_isnt_believed(how: str) -> None:
    good = signed_beat(BEAT, SIGNER)
    bad = {"stranger": signed_beat(BEAT, STRANGER), "changed": good.replace(b"1000", b"2000"), "cut": good[:-1], "empty": b""}[how]
    with pytest.raises(ValueError, match="isn't signed"):
        opened_beat(bad, trusted)
