"""Whose signatures count."""

from pathlib import Path

import pytest

from bartizan.errors import Invalid, Unavailable
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.seal import Signatures, public_key
from bartizan.secrets.signing import SigningKey


def test_only_trusted_keys_count(tmp_path: Path) -> None:
    mine, hers = (SigningKey(tmp_path / name, Envelope(bytes(32))) for name in ("mine", "hers"))
    both, alone = Signatures(mine, [hers.public]), Signatures(mine)
    assert both.signer == mine.public.hex()
    signature = hers.sign(b"text")
    assert both.verify(hers.public.hex(), b"text", signature)
    assert not alone.verify(hers.public.hex(), b"text", signature)
    assert not both.verify(mine.public.hex(), b"text", signature)
    assert not both.verify(hers.public.hex(), b"Text", signature)
    assert not both.verify("nobody", b"text", signature)
    assert not both.verify("", b"text", signature)


def test_without_a_private_key_nothing_is_signed(tmp_path: Path) -> None:
    key = SigningKey(tmp_path / "key", Envelope(bytes(32)))
    reader = Signatures(trusted=[key.public])
    assert reader.signer == ""
    assert reader.verify(key.public.hex(), b"text", key.sign(b"text"))
    with pytest.raises(Unavailable):
        reader.sign(b"text")


def test_a_public_key_is_read_as_people_pass_it_on() -> None:
    assert public_key(" " + "ab" * 32 + "\n") == b"\xab" * 32
    for bad in ("", "ab", "zz" * 32, "ab" * 33):
        with pytest.raises(Invalid, match="isn't a public key"):
            public_key(bad)
