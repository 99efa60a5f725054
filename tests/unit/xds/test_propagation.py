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
