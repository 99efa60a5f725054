"""States, and the steps between them."""

from bartizan.xds.release import CLUSTER, ROUTES, SCOPE, Release, State, Step, rank, resource

ONE = resource(ROUTES, "one", b"1")
ONE_NEW = resource(ROUTES, "one", b"1 new")
TWO = resource(ROUTES, "two", b"2")
UP = resource(CLUSTER, "one", b"cluster")


def held(*resources: object) -> State:
    state = State()
    state.take(Step(tuple(resources)))  # type: ignore[arg-type]
    return state


def test_a_version_is_the_hash_of_the_body() -> None:
    assert ONE.version == resource(CLUSTER, "other", b"1").version
    assert ONE.version != ONE_NEW.version
    assert len(ONE.version) == 16


def test_a_resource_does_not_print_its_body() -> None:
    assert "secret" not in repr(resource(ROUTES, "one", b"secret"))


def test_a_step_leads_there_and_its_undo_back() -> None:
    state = held(ONE, UP)
    before = state.versions()
    undo = state.take(Step((ONE_NEW, TWO), (UP.key, (SCOPE, "never there"))))
    assert state.versions() == {ROUTES: {"one": ONE_NEW.version, "two": TWO.version}}
    assert set(undo.changed) == {ONE, UP}
    assert undo.removed == (TWO.key,)
    state.take(undo)
    assert state.versions() == before


def test_the_undo_of_a_step_that_changes_one_name_twice_leads_to_the_first() -> None:
    state = held(ONE)
    state.take(state.take(Step((ONE_NEW, resource(ROUTES, "one", b"newer")), (ONE.key,))))
    assert state.versions() == {ROUTES: {"one": ONE.version}}


def test_what_is_lacking_is_what_differs_and_what_is_too_much() -> None:
    lacking = held(ONE_NEW, TWO, UP).lacking({ROUTES: {"one": ONE.version, "two": TWO.version, "gone": "x"}, SCOPE: {"s": "y"}})
    assert set(lacking.changed) == {ONE_NEW, UP}
    assert set(lacking.removed) == {(ROUTES, "gone"), (SCOPE, "s")}


def test_nothing_is_lacking_from_the_same_state() -> None:
    state = held(ONE, UP)
    assert state.lacking(state.versions()) == Step()
    assert len(state) == 2


def test_a_release_knows_its_position() -> None:
    position = Release(7, "abc", 3, ()).position
    assert (position.sequence, position.revision, position.generation) == (7, "abc", 3)


def test_what_is_named_comes_before_what_names_it() -> None:
    assert rank(CLUSTER) < rank(ROUTES) < rank(SCOPE) < rank("type.googleapis.com/unknown")
