"""Who falls under which tier of a limit."""

from bartizan.meaning.people import people_of
from bartizan.meaning.tiers import Tiers
from bartizan.meaning.world import Where, World
from bartizan.policies import PolicyKind
from tests.unit.meaning.made import made


def asked(tiers: str, method: str | None = "GET", path: str = "/orders") -> dict[str, list[str]]:
    compiled = made(f"kind: RateLimit\nname: some\nper: principal.id\ntiers:\n{tiers}")
    world = World(compiled.snapshot, people_of((compiled.snapshot,)))
    limit = next(one for one in compiled.snapshot.policies if one.id == "RateLimit/some")
    assert isinstance(limit, PolicyKind)
    found = Tiers(world).held_to(limit, Where(method, path))
    assert sum(bits.bit_count() for bits in found.values()) == world.present.bit_count()  # each falls under one
    return {words: sorted({one.name for _, one in world.people.of(bits) if one.sort == "consumer"}) for words, bits in found.items()}


def test_the_first_whose_condition_holds() -> None:
    tiers = "  - {when: 'principal.plan == \"gold\"', windows: [9/second, 99/hour], burst: 20}\n  - {windows: [1/second]}\n"
    found = asked(tiers)
    assert "acme" in found["9/second and 99/hour (burst 20) per principal.id"]
    assert "globex" in found["1/second per principal.id"]
    assert "acme" not in found["1/second per principal.id"]


def test_what_hangs_on_the_request_is_told_as_a_condition() -> None:
    tiers = '  - {when: \'request.headers["x-bulk"] == "1"\', windows: [9/second]}\n  - {windows: [1/second]}\n'
    (words,) = asked(tiers)
    assert words == '9/second per principal.id where request.headers["x-bulk"] == "1", else 1/second per principal.id'


def test_the_method_and_the_path_are_known() -> None:
    tiers = "  - {when: 'request.method == \"POST\"', windows: [9/second]}\n  - {windows: [1/second]}\n"
    assert list(asked(tiers, "POST")) == ["9/second per principal.id"]
    assert list(asked(tiers, "GET")) == ["1/second per principal.id"]
