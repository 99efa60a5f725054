"""The key file: made once, closed to others, refused when it is open or damaged."""

import base64
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from bartizan.errors import Unavailable
from bartizan.identity.journal import Journal
from bartizan.secrets import keyring, turning
from bartizan.secrets.envelope import CannotOpen, Envelope, WrongKey
from bartizan.secrets.keyring import Keyring, load_or_create, load_patiently
from bartizan.secrets.sources import kek_of
from tests.transit import transit


def test_made_once_then_loaded(tmp_path: Path) -> None:
    path = tmp_path / "state" / "key"
    sealed = load_or_create(path).seal(b"x", "c")
    assert load_or_create(path).open(sealed, "c") == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size == 32
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(os.listdir(path.parent)) == ["key", "key.keyring"]


def test_two_places_have_two_keys(tmp_path: Path) -> None:
    assert load_or_create(tmp_path / "a").key_id != load_or_create(tmp_path / "b").key_id


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_open_to_others_is_refused_and_says_what_to_do(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    load_or_create(path)
    path.chmod(mode)
    with pytest.raises(Unavailable, match=rf"mode {mode:04o}.*chmod 600 {path}") as caught:
        load_or_create(path)
    assert caught.value.code == "key-file-open-to-others"


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Unavailable, match="damaged"):
        load_or_create(path)
    assert path.read_bytes() == content


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="isn't a regular file"):
        load_or_create(tmp_path)
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(Unavailable, match="isn't a regular file"):
        load_or_create(tmp_path / "fifo")
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="can't be used: File exists"):
        load_or_create(tmp_path / "file" / "key")


def key_id(path: Path) -> str:
    return load_or_create(path).key_id


def test_many_who_create_it_at_once_get_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        for attempt in range(20):
            folder = tmp_path / str(attempt)
            assert len(set(pool.map(key_id, [folder / "key"] * 8, chunksize=1))) == 1
            assert sorted(os.listdir(folder)) == ["key", "key.keyring"]


# Data keys, and what wraps them


def test_the_key_file_opens_nothing_that_was_sealed(tmp_path: Path) -> None:
    sealed = load_or_create(tmp_path / "control.key").seal(b"x", "c")
    held = (tmp_path / "control.key").read_bytes()
    with pytest.raises(CannotOpen):
        Envelope(held).open(sealed, "c")
    text = (tmp_path / "control.keyring").read_bytes()
    assert stat.S_IMODE((tmp_path / "control.keyring").stat().st_mode) == 0o600
    assert held not in text
    assert base64.b64encode(held) not in text


def before(state: Path, name: str = "keys.journal") -> bytes:
    """A state as versions before made it: one key, in the file."""
    state.mkdir(mode=0o700)
    key = os.urandom(32)
    (state / "control.key").write_bytes(key)
    (state / "control.key").chmod(0o600)
    journal = Journal(state / name, Envelope(key), name.removesuffix(".journal"))
    with journal.locked():
        journal.append(b"one")
    journal.close()
    return key


def test_a_state_of_before_is_taken_over_as_it_is(tmp_path: Path) -> None:
    key = before(tmp_path / "state")
    for _ in range(2):
        envelope = load_or_create(tmp_path / "state" / "control.key")
        assert envelope.key_id == Envelope(key).key_id
        assert list(Journal(tmp_path / "state" / "keys.journal", envelope, "keys").read()) == [b"one"]
    assert (tmp_path / "state" / "control.key").read_bytes() == key
    assert [one.state for one in Keyring(tmp_path / "state" / "control.key").read().keys] == ["current"]


def test_a_state_of_before_that_cant_be_written_is_read_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = before(tmp_path / "state")

    def full(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(keyring, "made_once", full)
    assert load_or_create(tmp_path / "state" / "control.key").key_id == Envelope(key).key_id
    assert not (tmp_path / "state" / "control.keyring").exists()


def test_a_keyring_is_never_made_over_what_another_key_sealed(tmp_path: Path) -> None:
    """The keyring was lost: the key file alone opens nothing, and must not be taken for a data key."""
    state = tmp_path / "state"
    journal = Journal(state / "keys.journal", load_or_create(state / "control.key"), "keys")
    with journal.locked():
        journal.append(b"one")
    journal.close()
    ident = load_or_create(state / "control.key").key_id
    del journal
    (state / "control.keyring").rename(tmp_path / "lost")
    with pytest.raises(Unavailable, match=rf"sealed with the key {ident}.*Put back .*control.keyring") as caught:
        load_or_create(state / "control.key")
    assert caught.value.code == "keyring-missing"
    (tmp_path / "lost").rename(state / "control.keyring")
    assert load_or_create(state / "control.key").key_id == ident


def test_a_key_file_is_never_made_over_what_it_sealed(tmp_path: Path) -> None:
    key = before(tmp_path / "state")
    (tmp_path / "state" / "control.key").unlink()
    with pytest.raises(Unavailable, match=rf"{Envelope(key).key_id}.*Is its disk mounted") as caught:
        load_or_create(tmp_path / "state" / "control.key")
    assert caught.value.code == "key-file-missing"
    assert sorted(os.listdir(tmp_path / "state")) == ["keys.journal"]


def test_a_missing_or_wrong_key_file_is_told_with_its_id_and_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "control.key"
    load_or_create(path)
    kept = (tmp_path / "control.keyring").read_bytes()
    path.rename(tmp_path / "away")
    with pytest.raises(Unavailable, match=r"control.key isn't there.*wrapped with the key [0-9a-f]{16}. Is its disk mounted") as caught:
        load_or_create(path)
    assert caught.value.code == "key-file-missing"
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)
    told = r"isn't the one of this state.*wrapped with the key [0-9a-f]{16}, and this is the key [0-9a-f]{16}. Put back"
    with pytest.raises(Unavailable, match=told) as caught:
        load_or_create(path)
    assert caught.value.code == "key-file-wrong"
    assert (tmp_path / "control.keyring").read_bytes() == kept
    (tmp_path / "away").replace(path)
    load_or_create(path)


@pytest.mark.parametrize("harm", [b"", b"{}", b"not json", b'{"version": 2, "kek": {"source": "file"}, "keys": []}'])
def test_a_damaged_keyring_is_refused_and_left_alone(tmp_path: Path, harm: bytes) -> None:
    load_or_create(tmp_path / "control.key")
    (tmp_path / "control.keyring").write_bytes(harm)
    with pytest.raises(Unavailable, match="damaged") as caught:
        load_or_create(tmp_path / "control.key")
    assert caught.value.code == "keyring-damaged"
    assert (tmp_path / "control.keyring").read_bytes() == harm


def test_a_wrapped_key_that_was_edited_or_moved_is_refused(tmp_path: Path) -> None:
    load_or_create(tmp_path / "control.key")
    ring = Keyring(tmp_path / "control.key")
    kept = ring.read()
    one = kept.keys[0]
    (tmp_path / "node.key").write_bytes((tmp_path / "control.key").read_bytes())
    (tmp_path / "node.key").chmod(0o600)
    (tmp_path / "node.keyring").write_bytes((tmp_path / "control.keyring").read_bytes())
    with pytest.raises(Unavailable, match="changed or moved"):
        load_or_create(tmp_path / "node.key")
    raw = bytearray(base64.b64decode(one.wrapped))
    raw[-1] ^= 1
    for wrapped in (base64.b64encode(raw).decode(), "", "!!"):
        ring.write(kept.model_copy(update={"keys": (one.model_copy(update={"wrapped": wrapped}),)}))
        with pytest.raises(Unavailable) as caught:
            load_or_create(tmp_path / "control.key")
        assert caught.value.code in {"keyring-damaged", "key-file-wrong"}


def test_what_is_in_use_takes_up_another_key_without_what_wraps_it(tmp_path: Path) -> None:
    path = tmp_path / "control.key"
    envelope, ring = load_or_create(path), Keyring(path)
    old = envelope.seal(b"old", "c")
    first = envelope.key_id
    added = turning.add(ring)
    path.rename(tmp_path / "away")
    assert envelope.seal(b"new", "c")[1:9].hex() == added
    assert envelope.key_id == added
    assert envelope.open(old, "c") == b"old"
    (tmp_path / "away").rename(path)
    assert turning.retire(ring) == (first,)
    envelope.look()
    with pytest.raises(WrongKey):
        envelope.open(old, "c")
    assert 'handed": {}' in (tmp_path / "control.keyring").read_text()


def test_what_is_asked_again_waits_until_it_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with transit() as vault:
        monkeypatch.setenv("VAULT_TOKEN", "a-good-token")
        load_or_create(tmp_path / "control.key", kek_of(vault.address))
        vault.status = 503
        said: list[str] = []

        def say(text: str) -> None:
            said.append(text)
            vault.status = 0

        load_patiently(tmp_path / "control.key", say)
    assert len(said) == 1
    assert "Vault is sealed" in said[0]
    assert "asked again in 1 s" in said[0]
    assert not (tmp_path / "control.key").exists()
