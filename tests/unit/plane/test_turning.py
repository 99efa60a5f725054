"""The rotation of keys: everything is sealed anew and stays readable, whoever has it open, and wherever a crash comes."""

import asyncio
import base64
import fcntl
import os
import shutil
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bartizan.errors import Conflict, Unavailable
from bartizan.fleet.authority import Authority
from bartizan.identity.brake import Brake, Brakes
from bartizan.identity.context import Context
from bartizan.identity.context_file import ContextFile
from bartizan.identity.keys import KeyStore
from bartizan.identity.named import NamedSecrets, Wanted
from bartizan.model.context import ContextSource
from bartizan.node import membership
from bartizan.node.last_good import LastGood
from bartizan.plane import turning as module
from bartizan.plane.turning import keyrings, rewrap, rotate
from bartizan.secrets import turning
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.keyring import Keyring, load_or_create
from bartizan.secrets.places import CONTROL, NODE, sealed_with
from bartizan.secrets.sealed import Secret
from bartizan.secrets.signing import SigningKey
from bartizan.secrets.sources import Environment, File, kek_of
from bartizan.xds.release import ROUTES, Release, Step, resource
from tests.transit import transit

CERTIFICATE_KEY = b"-----BEGIN PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDED_S", 0.0)
    monkeypatch.setattr(module, "_NODE_S", 0.5)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a process that is killed doesn't need it, and it is slow


def filled(state: Path, control: Envelope, node: Envelope) -> None:
    """Something in every place that is sealed."""
    keys = KeyStore(state / "keys.journal", control)
    for number in range(5):
        keys.new(f"c{number}")
    keys.revoke(keys.records()[0].id)
    keys.close()
    named = NamedSecrets(state / "secrets.journal", control)
    named.set(Wanted("partner", Secret("hidden"), "me"))
    named.close()
    brakes = Brakes(state / "brakes.journal", control)
    brakes.brake(Brake("", "ip", "192.0.2.1", "why", "me", 0, time.time() + 600))
    brakes.close()
    context = Context()
    file = ContextFile(state / "context.sealed", control, context)
    context.declare({"hr": ContextSource(name="hr", attributes=("plan",), push=True)}, {"plan": "string"})
    context.take_one("hr", "acme", {"plan": "hidden"})
    asyncio.run(file.keep())
    for name in ("signing.key", "release.key"):
        SigningKey(state / name, control)
    Authority(state / "fleet.authority", control)
    store = LastGood(state / "last-good", node)
    for number in range(3):
        store.keep(Release(number + 1, "r", 1, (Step((resource(ROUTES, "a", b"body" * number),)),)))
    (state / "heard").write_bytes(node.seal(b"17.0", "heard"))
    known = membership.Membership(
        host="h", port=1, name="n", group="g", ca="", certificate="", key=node.seal(CERTIFICATE_KEY, "node certificate key").hex(),
        token="", renew_at=0.0,
    )  # fmt: skip
    (state / "membership.json").write_bytes(known.model_dump_json().encode())


def read(state: Path) -> object:
    """All that is sealed in a state, opened."""
    control, node = load_or_create(state / "control.key"), load_or_create(state / "node.key")
    keys, named = KeyStore(state / "keys.journal", control), NamedSecrets(state / "secrets.journal", control)
    brakes = Brakes(state / "brakes.journal", control)
    try:
        known = membership.read_membership(state)
        assert known is not None
        return (
            keys.records(),
            keys.revoked(),
            keys.generation,
            [(one.name, one.value.reveal()) for one in named.all()],
            [one.id for one in brakes.held(0)],
            SigningKey(state / "signing.key", control).public,
            SigningKey(state / "release.key", control).public,
            Authority(state / "fleet.authority", control).fingerprint,
            LastGood(state / "last-good", node).load(),
            control.open((state / "context.sealed").read_bytes(), "context"),
            node.open((state / "heard").read_bytes(), "heard"),
            node.open(bytes.fromhex(known.key), "node certificate key"),
        )
    finally:
        keys.close()
        named.close()
        brakes.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """One of now."""
    folder = tmp_path / "state"
    filled(folder, load_or_create(folder / "control.key"), load_or_create(folder / "node.key"))
    return folder


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """One of versions before: a key in each file, and no keyring."""
    folder = tmp_path / "before"
    folder.mkdir(mode=0o700)
    made = {name: os.urandom(32) for name in ("control.key", "node.key")}
    for name, key in made.items():
        (folder / name).write_bytes(key)
        (folder / name).chmod(0o600)
    filled(folder, Envelope(made["control.key"]), Envelope(made["node.key"]))
    return folder


def quiet(_: str) -> None:
    """Says nothing."""


def test_everything_is_sealed_with_the_new_key_and_reads_as_before(state: Path) -> None:
    was, old = read(state), {ring.read().keys[0].id for ring in keyrings(state)}
    done = rotate(state, quiet)
    assert read(state) == was
    assert {ident for one in done for ident in one.retired} == old
    for ring, one in zip(keyrings(state), done, strict=True):
        assert [entry.id for entry in ring.read().keys] == [one.current]
        assert ring.read().keys[0].handed == {}
        assert sealed_with(ring.key) == {one.current}
    for one in (*CONTROL, *NODE):
        if (path := state / one.file).exists():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600 or one.file in {"heard", "membership.json"}


def test_nothing_that_is_sealed_is_forgotten(state: Path) -> None:
    """Each file of a state that holds something sealed with a key of it is one of those that are sealed anew."""
    headers = [b"\x01" + bytes.fromhex(ring.read().keys[0].id) for ring in keyrings(state)]
    known = {one.file for one in (*CONTROL, *NODE)}
    for path in state.rglob("*"):
        if path.is_file() and path.suffix != ".keyring":
            text = path.read_bytes()
            if any(form in text for header in headers for form in (header, base64.b64encode(header), header.hex().encode())):
                assert str(path.relative_to(state)) in known


def test_a_state_of_before_is_rotated_and_its_key_file_replaced(before: Path) -> None:
    old = {name: (before / name).read_bytes() for name in ("control.key", "node.key")}
    was = read(before)
    rotate(before, quiet)
    assert read(before) == was
    for name, key in old.items():
        assert (before / name).read_bytes() != key
        assert not sealed_with(before / name) & {Envelope(key).key_id}


def test_a_backup_opens_with_its_own_keyring_alone(state: Path, tmp_path: Path) -> None:
    was, backup = read(state), tmp_path / "backup"
    shutil.copytree(state, backup)
    rotate(state, quiet)
    assert read(backup) == was
    for name in ("control.keyring", "node.keyring"):
        shutil.copy(state / name, backup / name)
    with pytest.raises(Unavailable, match=r"was sealed with the key .* Put back the key file and the keyring"):
        read(backup)


def test_what_has_the_state_open_reads_and_writes_on(state: Path) -> None:
    envelope = load_or_create(state / "control.key")
    keys, other = KeyStore(state / "keys.journal", envelope), KeyStore(state / "keys.journal", load_or_create(state / "control.key"))
    made = [keys.new("a").id]
    rotate(state, quiet)
    made.append(other.new("b").id)
    keys.poll()
    made.append(keys.new("c").id)
    rotate(state, quiet)
    other.poll()
    assert {one.id for one in other.records()} >= set(made)
    assert {one.id for one in keys.records()} == {one.id for one in other.records()}
    assert len(sealed_with(state / "control.key")) == 1


def test_two_dont_rotate_at_once_and_another_users_state_is_left_alone(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Keyring(state / "control.key").alone(), pytest.raises(Conflict, match="somebody else"):
        rotate(state, quiet)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(Unavailable, match="belongs to another user"):
        rotate(state, quiet)


def test_a_node_that_doesnt_follow_keeps_the_old_key(state: Path) -> None:
    was = read(state)
    lock = os.open(state / "node.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(Unavailable, match="old keys stay"):
        rotate(state, quiet)
    os.close(lock)
    assert len(Keyring(state / "node.key").read().keys) == 2
    assert read(state) == was
    rotate(state, quiet)
    assert len(Keyring(state / "node.key").read().keys) == 1
    assert read(state) == was


def test_what_was_changed_by_somebody_isnt_sealed_anew_and_the_old_key_stays(state: Path) -> None:
    path = state / "secrets.journal"
    path.write_bytes(path.read_bytes().replace(b"A", b"B"))
    with pytest.raises(Unavailable, match=r"secrets.journal can't be read"):
        rotate(state, quiet)
    assert len(Keyring(state / "control.key").read().keys) == 2


# Another key-encryption key


def test_keys_are_wrapped_by_vault_by_a_variable_and_by_a_new_file(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    was, first = read(state), (state / "control.key").read_bytes()
    monkeypatch.setenv("VAULT_TOKEN", "a-good-token")
    monkeypatch.setenv("BARTIZAN_KEY", "A" * 43 + "=")
    idents = [one.current for one in rewrap(state, File())]
    assert (state / "control.key").read_bytes() != first
    assert read(state) == was
    with transit() as vault:
        rewrap(state, kek_of(vault.address))
        assert not (state / "control.key").exists()
        assert not (state / "node.key").exists()
        assert read(state) == was
        rotate(state, quiet)
        assert read(state) == was
        rewrap(state, Environment())
    assert read(state) == was
    rewrap(state, File())
    assert read(state) == was
    assert (state / "control.key").read_bytes() != first
    assert idents != [ring.read().keys[0].id for ring in keyrings(state)]
    assert not list(state.glob("*.next"))


def test_vault_that_cant_be_asked_leaves_everything_as_it_is(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    was = read(state)
    monkeypatch.setenv("VAULT_TOKEN", "a-good-token")
    with transit() as vault:
        vault.status = 503
        with pytest.raises(Unavailable):
            rewrap(state, kek_of(vault.address))
    assert read(state) == was
    assert Keyring(state / "control.key").read().kek == File()


# Crashes


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Does it in a process that is killed before its `step`th change of the disk. Whether it was; else it has come to its end."""
    pid = os.fork()
    if pid == 0:
        count = 0

        def counted(name: str) -> None:
            real = getattr(os, name)

            def call(*arguments: object, **more: object) -> object:
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **more)

            setattr(os, name, call)

        for name in ("replace", "link", "unlink", "write", "fsync", "rename", "ftruncate"):
            counted(name)
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


def every_crash(folder: Path, work: Callable[[Path], object]) -> int:
    """After a crash at each of the moments all can be read, and the same can be done again to its end. How many moments there were."""
    aside, step = folder.with_name("aside"), 1
    shutil.copytree(folder, aside)
    was = None
    while True:
        here = folder.with_name(f"crash{step}")
        shutil.copytree(aside, here)
        killed = killed_at(step, lambda: work(here))  # noqa: B023 - called at once
        now = read(here)
        was = was or now
        assert now == was, step
        if killed:
            work(here)
            assert read(here) == was, step
        assert not list(here.glob("*.next")), step
        shutil.rmtree(here)
        if not killed:
            return step
        step += 1


def turned(state: Path) -> None:
    rotate(state, quiet)
    for ring in keyrings(state):
        assert len(ring.read().keys) == 1
        assert len(sealed_with(ring.key)) <= 1


def test_a_crash_at_any_moment_of_a_rotation_loses_nothing(state: Path) -> None:
    assert every_crash(state, turned) > 40


def test_a_crash_at_any_moment_of_the_taking_over_of_a_state_of_before_loses_nothing(before: Path) -> None:
    assert every_crash(before, keyrings) > 4


def test_a_crash_at_any_moment_of_the_rotation_of_a_state_of_before_loses_nothing(before: Path) -> None:
    assert every_crash(before, turned) > 40


def test_a_crash_at_any_moment_of_a_rewrapping_loses_nothing(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BARTIZAN_KEY", "A" * 43 + "=")
    assert every_crash(state, lambda folder: rewrap(folder, File())) > 4
    shutil.rmtree(state.with_name("aside"))

    def there_and_back(folder: Path) -> None:
        rewrap(folder, Environment())
        rewrap(folder, File())

    assert every_crash(state, there_and_back) > 4


def test_a_key_is_handed_over_by_those_before_it_alone(state: Path) -> None:
    ring = Keyring(state / "control.key")
    envelope = load_or_create(ring.key)
    with ring.alone():
        turning.add(ring)
    kept = ring.read()
    handed = kept.keys[0].handed
    assert set(handed) == {kept.keys[1].id}
    forged = {kept.keys[1].id: "AAAA"}
    ring.write(kept.model_copy(update={"keys": (kept.keys[0].model_copy(update={"handed": forged}), kept.keys[1])}))
    envelope.look()
    assert envelope.key_id == kept.keys[0].id
