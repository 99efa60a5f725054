"""Who belongs to the fleet: tokens that count once, certificates that count while they should."""

from pathlib import Path

import pytest

from bartizan.errors import Conflict, Invalid, NotFound, Unauthenticated
from bartizan.fleet.registry import Joined, Registry
from bartizan.secrets.envelope import Envelope

ENVELOPE = Envelope(bytes(range(32)))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Rig:
    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.folder = folder
        self.registry = self.other()

    def other(self) -> Registry:
        """As another process has it."""
        return Registry(self.folder / "fleet.journal", ENVELOPE, self.clock)

    def token(self, group: str = "default", seconds: float = 60, name: str = "") -> bytes:
        return bytes.fromhex(self.registry.token(group, seconds, name).reveal())

    def join(self, secret: bytes, wish: str = "edge", fingerprint: str = "f1", ends: float = 2000.0) -> Joined:
        return self.registry.join(secret, wish, lambda _: (fingerprint, ends))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_token_makes_one_node_once(rig: Rig) -> None:
    secret = rig.token("edges")
    node = rig.join(secret)
    assert (node.name, node.group, node.expires) == ("edge", "edges", 2000.0)
    with pytest.raises(Unauthenticated, match="used already, by node 'edge'"):
        rig.join(secret, "another")
    assert rig.registry.known("f1") == node
    assert [one.name for one in rig.other().nodes()] == ["edge"]
    with pytest.raises(Unauthenticated, match="used already"):
        rig.other().join(secret, "another", lambda _: ("f2", 2000.0))


def test_wrong_and_expired_tokens_make_none(rig: Rig) -> None:
    secret = rig.token()
    with pytest.raises(Unauthenticated, match="isn't known"):
        rig.join(bytes(24))
    rig.clock.now += 60
    with pytest.raises(Unauthenticated, match="expired"):
        rig.join(secret)
    assert rig.registry.nodes() == ()


def test_a_token_that_couldnt_be_used_stays_good(rig: Rig) -> None:
    secret = rig.token()
    with pytest.raises(Invalid):
        rig.join(secret, "Bad Name")

    def fails(_: str) -> tuple[str, float]:
        raise Invalid("the request can't be read")

    with pytest.raises(Invalid, match="request"):
        rig.registry.join(secret, "edge", fails)
    assert rig.join(secret).name == "edge"


def test_a_token_may_say_the_name(rig: Rig) -> None:
    assert rig.join(rig.token(name="named"), "wish").name == "named"
    for taken in ("named", "local"):
        with pytest.raises(Conflict):
            rig.token(name=taken)
        with pytest.raises(Conflict):
            rig.join(rig.token(), taken)
    for bad in ("Bad", "a b", "-a", "x" * 64):
        with pytest.raises(Invalid):
            rig.token(name=bad)
        with pytest.raises(Invalid):
            rig.token(group=bad)


def test_certificates_end_are_renewed_and_the_last_few_count(rig: Rig) -> None:
    rig.join(rig.token(), ends=1100.0)
    assert rig.registry.known("f1")
    for i in range(2, 7):
        rig.registry.renew("edge", f"f{i - 1}", lambda _, i=i: (f"f{i}", 1000.0 + 100 * i))
    assert [bool(rig.registry.known(f"f{i}")) for i in range(1, 7)] == [False, False, True, True, True, True]
    rig.clock.now = 1300.0
    assert rig.registry.known("f3") is None, "it has ended"
    with pytest.raises(Unauthenticated):
        rig.registry.renew("edge", "f3", lambda _: ("f9", 5000.0))
    with pytest.raises(Unauthenticated):
        rig.registry.renew("other", "f6", lambda _: ("f9", 5000.0))
    assert rig.other().known("f6")


def test_who_is_removed_is_unknown_to_every_process_and_may_join_anew(rig: Rig) -> None:
    rig.join(rig.token())
    watching = rig.other()
    rig.registry.remove("edge")
    watching.poll()
    assert watching.known("f1") is None and watching.nodes() == ()
    with pytest.raises(NotFound):
        rig.registry.remove("edge")
    rig.join(rig.token(), fingerprint="f2")
    assert rig.registry.known("f2") and rig.registry.known("f1") is None


def test_no_secret_is_in_the_file(rig: Rig) -> None:
    secret = rig.token()
    data = (rig.folder / "fleet.journal").read_bytes()
    assert secret not in data and secret.hex().encode() not in data
    assert (rig.folder / "fleet.journal").stat().st_mode & 0o777 == 0o600
