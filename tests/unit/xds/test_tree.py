"""The hash over a state: the same for the same content however it came about, another for any other."""

import random

from bartizan.xds.release import CLUSTER, ROUTES, State, Step, resource
from bartizan.xds.tree import Tree


def test_any_way_to_a_state_gives_its_hash() -> None:
    draw = random.Random(7)
    state, held = State(), {}
    for _ in range(200):
        changed = tuple(
            resource(draw.choice((ROUTES, CLUSTER)), f"n{draw.randrange(40)}", draw.randbytes(8)) for _ in range(draw.randrange(5))
        )
        removed = tuple((draw.choice((ROUTES, CLUSTER)), f"n{draw.randrange(40)}") for _ in range(draw.randrange(3)))
        step = Step(changed, removed)
        foreseen = state.digest_after([step])
        undo, before = state.take(step), state.digest
        held |= {one.key: one for one in changed}
        for key in removed:
            held.pop(key, None)
        fresh = State()
        fresh.take(Step(tuple(draw.sample(list(held.values()), len(held)))))
        assert state.digest == fresh.digest == foreseen == before
        if draw.random() < 0.3:
            state.take(undo)
            held = {one.key: one for one in state}


def test_steps_are_foreseen_one_after_the_other() -> None:
    one, two = resource(ROUTES, "a", b"1"), resource(ROUTES, "a", b"2")
    state, other = State(), State()
    other.take(Step((two,)))
    assert state.digest_after([Step((one,)), Step(removed=(one.key,)), Step((two,))]) == other.digest
    assert state.digest_after([Step((one,), (one.key,))]) == state.digest == State().digest


def test_whatever_differs_gives_another_hash() -> None:
    roots = set()
    for content in (
        {},
        {("t", "a"): b"1"},
        {("t", "a"): b"2"},
        {("t", "b"): b"1"},
        {("u", "a"): b"1"},
        {("t", "a"): b"1", ("t", "b"): b"1"},
    ):
        tree = Tree()
        for key, digest in content.items():
            tree.put(key, digest)
        roots.add(tree.root())
        assert tree.root() in roots
    assert len(roots) == 6
    swapped = Tree()
    for key, digest in {("t", "a"): b"2", ("t", "b"): b"1"}.items():
        swapped.put(key, digest)
    straight = Tree()
    for key, digest in {("t", "a"): b"1", ("t", "b"): b"2"}.items():
        straight.put(key, digest)
    assert swapped.root() != straight.root()
