"""How fast releases reach the nodes."""

from bartizan.xds.propagation import Propagation


def test_each_node_is_timed_from_the_release_on() -> None:
    now = [10.0]
    seen = Propagation(lambda: now[0])
    assert seen.to_json() == {"ms_p50": None, "ms_max": None, "last": []}
    seen.begin(5, "r5", ["a", "b", "c"])
    for node, at in (("a", 10.02), ("b", 10.05), ("stranger", 10.06), ("a", 10.9)):
        now[0] = at
        seen.acknowledged(5, node)
    seen.begin(6, "r6", ["a"])
    seen.acknowledged(4, "a")
    told = seen.to_json()
    assert [one["ms"] for one in told["last"]] == [{"a": 20.0, "b": 50.0}, {}]  # type: ignore[union-attr]
    assert (told["ms_p50"], told["ms_max"]) == (50.0, 50.0)
    assert (seen.after(4), seen.after(5), seen.after(6)) == (2, 1, 0)


def test_the_last_hundred_are_kept() -> None:
    seen = Propagation()
    for number in range(150):
        seen.begin(number, "r", ["a"])
    assert len(seen.to_json()["last"]) == 100  # type: ignore[arg-type]
    assert seen.after(-1) == 100


def test_each_edit_is_told_once_when_each_node_has_it() -> None:
    one = Propagation()
    told: list[tuple[str, int, int]] = []
    one.tell = lambda spread: told.append((spread.revision, len(spread.ms), len(spread.nodes)))
    one.begin(1, "a", ["n1", "n2"])
    one.acknowledged(1, "n1")
    assert told == []
    one.acknowledged(1, "n2")
    assert told == [("a", 2, 2)]
    one.begin(2, "a", ["n1", "n2"])  # live data alone
    one.acknowledged(2, "n1")
    one.acknowledged(2, "n2")
    assert told == [("a", 2, 2)]
    one.begin(3, "b", ["n1", "n2"])
    one.acknowledged(3, "n1")
    one.begin(4, "c", ["n1", "n2"])  # the next comes before n2 has it
    assert told[1:] == [("b", 1, 2)]
    one.begin(5, "d", [])  # nobody is there
    one.acknowledged(4, "n1")
    one.acknowledged(4, "n2")
    assert told[2:] == [("c", 2, 2)]


def test_a_canary_beside_the_others_is_an_edit_of_its_own_nodes_alone() -> None:
    one = Propagation()
    told: list[str] = []
    one.tell = lambda spread: told.append(spread.revision)
    for sequence, revision, node in ((1, "a", "n1"), (2, "b", "n2"), (3, "a", "n1"), (4, "b", "n2"), (5, "b", "n1")):
        one.begin(sequence, revision, [node])
        one.acknowledged(sequence, node)
    assert told == ["a", "b", "b"]
