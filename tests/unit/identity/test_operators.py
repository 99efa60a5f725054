"""Tokens of the admin API: kept as hashes, signed, ended for good; and the first of them, which makes one other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bartizan.errors import Invalid, NotFound, Unauthenticated
from bartizan.identity.operators import FIRST, ROLES, Of, Operators, forget_first
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Store, embedded, open_store


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def seal(tmp_path: Path) -> Signatures:
    return Signatures(SigningKey(tmp_path / "signing.key", Envelope(bytes(32))))


@pytest.fixture
def store(state: Path, seal: Signatures) -> Iterator[Store]:
    with open_store(embedded(state), seal) as opened:
        yield opened


@pytest.fixture
def operators(store: Store, seal: Signatures, clock: Clock) -> Operators:
    return Operators(store, seal, clock)


def test_a_token_is_known_until_it_expires_or_is_ended(operators: Operators, clock: Clock) -> None:
    made, text = operators.new("ann", "admin", 1100.0)
    assert operators.who(text.reveal()) == made
    assert operators.all() == (made,)
    clock.now = 1100.0
    with pytest.raises(Unauthenticated):
        operators.who(text.reveal())
    other, text = operators.new("bob", "viewer")
    operators.end(other.id)
    with pytest.raises(Unauthenticated):
        operators.who(text.reveal())
    with pytest.raises(NotFound):
        operators.end(other.id)
    with pytest.raises(NotFound):
        operators.end("tok_000000000000")


@pytest.mark.parametrize("text", ["", "bzt_", "x", "bzt_" + "a" * 43])
def test_a_text_that_nobody_has_is_nobodys(operators: Operators, text: str) -> None:
    made, _ = operators.new("ann", "admin")
    operators.end(made.id)  # whose hash is empty now
    with pytest.raises(Unauthenticated):
        operators.who(text)


def test_the_text_is_nowhere_in_the_store(operators: Operators, store: Store) -> None:
    _, text = operators.new("ann", "admin")
    assert text.reveal() not in str([note.value for note in store.notes.under("")])
    assert text.reveal() not in repr(text)


@pytest.mark.parametrize(
    "change",
    [
        {"role": "admin"},
        {"name": "ann"},
        {"expires": None},
        {"once": True},
        {"session": False},
        {"hash": "0" * 64},
        {"signature": ""},
        {"signature": "zz"},
        {"signer": "x"},
    ],
)
def test_a_note_that_was_changed_in_the_database_counts_for_nothing(operators: Operators, store: Store, change: dict[str, str]) -> None:
    made, text = operators.session("eve", "viewer", 2000.0)
    note = store.notes.get(f"operator/{made.id}")
    assert note is not None
    store.notes.put(note.key, {**dict(note.value), **change}, note.version)  # type: ignore[arg-type]
    assert operators.all() == ()
    with pytest.raises(Unauthenticated):
        operators.who(text.reveal())


def test_a_note_under_another_id_or_of_another_form_counts_for_nothing(operators: Operators, store: Store) -> None:
    made, text = operators.new("ann", "admin")
    note = store.notes.get(f"operator/{made.id}")
    assert note is not None
    operators.end(made.id)
    store.notes.put("operator/tok_copy", note.value)
    for i, odd in enumerate(("text", 1, None, [], {}, {"hash": 1})):
        store.notes.put(f"operator/tok_odd{i}", odd)  # type: ignore[arg-type]
    assert operators.all() == ()
    with pytest.raises(Unauthenticated):
        operators.who(text.reveal())


def test_another_installations_key_makes_no_token_here(store: Store, operators: Operators, tmp_path: Path) -> None:
    others = Operators(store, Signatures(SigningKey(tmp_path / "other.key", Envelope(bytes(32)))))
    _, text = others.new("eve", "admin")
    with pytest.raises(Unauthenticated):
        operators.who(text.reveal())


@pytest.mark.parametrize("name", ["", "a;b", "a\0", " a", "x" * 257, "files", "rollout", "first", "local:root"])
def test_a_name_that_means_something_else_is_refused(operators: Operators, name: str) -> None:
    with pytest.raises(Invalid):
        operators.new(name, "viewer")


def test_a_role_or_an_end_that_cant_be_is_refused(operators: Operators) -> None:
    with pytest.raises(Invalid):
        operators.new("ann", "owner")  # type: ignore[arg-type]
    for expires in (1000.0, 0.0, float("nan"), float("inf")):
        with pytest.raises(Invalid):
            operators.new("ann", ROLES[0], expires)


def test_the_first_token_is_in_a_private_file_and_good_for_one_other(operators: Operators, state: Path) -> None:
    file = operators.first(state)
    assert file == state / FIRST
    assert file.stat().st_mode & 0o777 == 0o600
    first = operators.who(file.read_text().strip())
    assert first.once
    assert operators.first_counts()
    made, text = operators.exchange(first, "ann", "admin", None)
    assert operators.who(text.reveal()) == made
    assert operators.all() == (made,)
    assert not operators.first_counts()
    with pytest.raises(Unauthenticated):
        operators.exchange(first, "eve", "admin", None)
    assert operators.all() == (made,)
    forget_first(state)
    forget_first(state)
    assert not file.exists()
    assert operators.first(state) is None


def test_the_first_token_ends_by_itself(operators: Operators, state: Path, clock: Clock) -> None:
    file = operators.first(state)
    assert file is not None
    clock.now += 3600.0
    assert not operators.first_counts()
    with pytest.raises(Unauthenticated):
        operators.who(file.read_text().strip())


@pytest.mark.parametrize("trace", ["last-good", "accepted.json", "audit.head"])
def test_a_lost_store_where_something_served_before_mints_none(operators: Operators, state: Path, trace: str) -> None:
    (state / trace).write_text("")
    assert operators.first(state) is None
    assert not (state / FIRST).exists()
    assert operators.all() == ()


def test_a_token_of_a_team_stays_of_it_and_is_no_admins(operators: Operators, store: Store) -> None:
    made, text = operators.new("bob", "editor", of=Of("orders"))
    assert operators.who(text.reveal()).team == "orders"
    assert operators.all() == (made,)
    for role, team in (("admin", "orders"), ("editor", "Orders"), ("editor", "")):
        with pytest.raises(Invalid):
            operators.new("eve", role, of=Of(team))  # type: ignore[arg-type]
    key = f"operator/{made.id}"
    note = store.notes.get(key)
    assert note is not None and isinstance(note.value, dict)
    for value in ({**note.value, "team": None}, {**note.value, "team": "billing"}, {k: v for k, v in note.value.items() if k != "team"}):
        store.notes.put(key, value, store.notes.get(key).version)  # type: ignore[union-attr]
        with pytest.raises(Unauthenticated):
            operators.who(text.reveal())
