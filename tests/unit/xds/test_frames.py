"""What travels between control plane and node arrives as it was, or not at all."""

import pytest

from bartizan.xds.frames import Answer, Hello, Report, decoded, decoded_release, encoded, encoded_release
from bartizan.xds.release import CLUSTER, ROUTES, Position, Release, Step, resource

STEPS = (
    Step((resource(CLUSTER, "up", b"\x00\xff"), resource(ROUTES, "empty", b"")), ((ROUTES, "gone"),)),
    Step(removed=((CLUSTER, "old"),)),
    Step((resource(ROUTES, "grüße", b"x" * 100_000),)),
)
RELEASE = Release(9, "abc", 4, STEPS)
REPORT = Report(position=Position(1, "r", 2), envoy=True, acknowledged=False, kept=True, problem="p")


def test_a_release_arrives_as_it_was() -> None:
    assert decoded_release(encoded_release(RELEASE)) == RELEASE


def test_frames_arrive_as_they_were() -> None:
    hello = Hello(node_id="n1", held={ROUTES: {"a": "1"}}, report=REPORT)
    answer = Answer(report=REPORT, id=3, acknowledged=True, error=None, took_s=0.5)
    assert decoded(Hello, encoded(hello)) == hello
    assert decoded(Answer, encoded(answer)) == answer


def test_a_changed_or_cut_body_is_noticed() -> None:
    data = bytearray(encoded_release(RELEASE))
    with pytest.raises(ValueError, match="isn't what its hash says"):
        decoded_release(bytes(data[:-1]))
    data[-1] ^= 1
    with pytest.raises(ValueError, match="isn't what its hash says"):
        decoded_release(bytes(data))


@pytest.mark.parametrize("junk", [b"", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02{}", b"null"])
def test_junk_is_a_value_error(junk: bytes) -> None:
    with pytest.raises(ValueError):
        decoded_release(junk)
    with pytest.raises(ValueError):
        decoded(Hello, junk)
