"""The frames by which records are shipped can be read back, and nothing else can."""

import pytest

from bartizan.telemetry.shipping import At, Batch, Kept, Opening, decoded, decoded_batch, encoded, encoded_batch

AT = At(file="0123456789abcdef", offset=12)


def test_frames_come_back_as_they_were() -> None:
    batch = Batch(after=At(), at=AT, sent=1.5, lost=3, behind=4)
    assert decoded_batch(encoded_batch(batch, b"{}\n")) == (batch, b"{}\n")
    assert decoded_batch(encoded_batch(batch, b"")) == (batch, b"")
    assert decoded(Kept, encoded(Kept(at=AT))).at == AT
    assert decoded(Opening, encoded(Opening(stream="failures"))).stream == "failures"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\x02{}",
        b"\xff\xff\xff\xff",
        encoded_batch(Batch(after=At(), at=AT, sent=1), b"cut off"),
        encoded_batch(Batch(after=At(), at=AT, sent=1), b"").replace(b'"offset":12', b'"offset":-2'),
        encoded_batch(Batch(after=At(), at=AT, sent=1), b"").replace(b"0123456789abcdef", b"../../etc/passwd"),
        encoded_batch(Batch(after=At(), at=AT, sent=1), b"").replace(b'"sent":1.0', b'"sent":NaN'),
    ],
)
def test_what_is_no_batch_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decoded_batch(data)


def test_only_streams_that_there_are_can_be_opened() -> None:
    for wrong in (b'{"stream":"../requests"}', b"{}", b"[]", b"\xff"):
        with pytest.raises(ValueError, match=r".+"):
            decoded(Opening, wrong)
