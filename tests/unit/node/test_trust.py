"""What a node takes from its control plane, and what it refuses."""

import stat
from pathlib import Path

import pytest

from bartizan.errors import Forbidden, Unavailable
from bartizan.identity.brake import Brake, Brakes
from bartizan.identity.keys import KeyStore
from bartizan.identity.revoked import Documents
from bartizan.node.trust import TOLERANCE_S, Judge, read_trust, trust_file, write_trust
from bartizan.secrets.envelope import Envelope
from bartizan.xds.beat import Beat, signed_beat
from bartizan.xds.release import NOTE, ROUTES, Position, Release, State, Step, resource
from bartizan.xds.signed import Address, signed
from tests.signing import SIGNER, STRANGER, Signing, believing

A, B = resource(ROUTES, "a", b"a"), resource(ROUTES, "b", b"b")
ENVELOPE = Envelope(b"k" * 32)
NOW = 1_800_000_000.0
AT = Position(5, "held", 3)


def held() -> State:
    state = State()
    state.take(Step((A,)))
    return state


def sent(
    sequence: int = 6, generation: int = 3, *, group: str = "default", until: float = NOW, by: Signing = SIGNER, wrong: bool = False
) -> bytes:
    release = Release(sequence, "new", generation, (Step((B,)),))
    state = State().digest if wrong else held().digest_after(release.steps)
    return signed(release, state, Address(group, until), by)


def refused(judge: Judge, data: bytes, why: str, at: Position = AT) -> None:
    with pytest.raises(Forbidden, match=why):
        judge.judged(data, at, held())


def test_what_is_right_is_taken(tmp_path: Path) -> None:
    judge = believing(tmp_path, clock=lambda: NOW)
    assert judge.judged(sent(), AT, held()).steps == (Step((B,)),)
    assert judge.judged(sent(generation=4), AT, held()).generation == 4


def test_what_is_wrong_is_refused_each_for_its_reason(tmp_path: Path) -> None:
    judge = believing(tmp_path, clock=lambda: NOW)
    refused(judge, sent(by=STRANGER), "isn't signed by a key that is trusted here")
    refused(judge, sent(group="other"), "it is for the nodes of group 'other', and this one is of 'default'")
    refused(judge, sent(sequence=4), "it was sent before")
    refused(judge, sent(sequence=5), "number 5 again, and says something else")
    refused(judge, sent(generation=2), "generation 2, and 3 is held")
    refused(judge, sent(wrong=True), "isn't what was signed")


def test_the_same_again_is_taken_if_it_changes_nothing(tmp_path: Path) -> None:
    judge = believing(tmp_path, clock=lambda: NOW)
    same = Release(5, "held", 3, ())
    assert judge.judged(signed(same, held().digest, Address("default", NOW), SIGNER), AT, held()) == same
    other = Release(5, "another", 3, ())
    refused(judge, signed(other, held().digest, Address("default", NOW), SIGNER), "says something else")


def test_clocks_may_differ_by_so_much_and_no_more(tmp_path: Path) -> None:
    clock = [NOW]
    judge = believing(tmp_path, clock=lambda: clock[0])
    for ahead in (-400 * 86_400, 0, TOLERANCE_S):
        clock[0] = NOW + ahead
        judge.judged(sent(), AT, held())
    clock[0] = NOW + TOLERANCE_S + 1
    refused(judge, sent(), "set this machine's clock")


def test_several_keys_are_trusted_and_a_dropped_one_isnt_at_once(tmp_path: Path) -> None:
    judge = believing(tmp_path, SIGNER, STRANGER, clock=lambda: NOW)
    judge.judged(sent(by=SIGNER), AT, held())
    judge.judged(sent(by=STRANGER), AT, held())
    write_trust(tmp_path, [STRANGER.public])
    refused(judge, sent(by=SIGNER), "trusted")
    judge.judged(sent(by=STRANGER), AT, held())


def test_without_a_key_nothing_is_taken(tmp_path: Path) -> None:
    judge = Judge(tmp_path, lambda: NOW)
    with pytest.raises(Unavailable, match="No key is trusted"):
        judge.judged(sent(), AT, held())
    write_trust(tmp_path, [])
    refused(judge, sent(), "trusted")


@pytest.mark.parametrize("text", ["", "{}", '{"keys": ["12"]}', '{"keys": ["zz"]}', '{"keys": [], "more": 1}', "[]"])
def test_a_damaged_file_trusts_nobody(tmp_path: Path, text: str) -> None:
    trust_file(tmp_path).write_text(text)
    with pytest.raises(Unavailable, match="No key is trusted"):
        Judge(tmp_path).judged(sent(), AT, held())


def test_the_file_is_its_owners_and_replaced_at_once(tmp_path: Path) -> None:
    write_trust(tmp_path / "state", [SIGNER.public], "edge")
    found = read_trust(tmp_path / "state")
    assert (found.group, found.public) == ("edge", {SIGNER.public})
    assert stat.S_IMODE(trust_file(tmp_path / "state").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["trust.json"]


def test_what_knows_less_of_what_was_revoked_is_refused(tmp_path: Path) -> None:
    """Whatever befell the control plane."""
    keys, brakes = KeyStore(tmp_path / "keys", ENVELOPE), Brakes(tmp_path / "brakes", ENVELOPE, lambda: NOW)
    keys.revoke(keys.new("acme").id)
    brakes.brake(Brake("", "consumer", "acme", "stolen", "ann", 0, NOW + 86_400))
    told = Documents(SIGNER).of(keys, brakes, NOW)
    before = State()
    before.take(Step(tuple(resource(NOTE, name, body) for name, body in told.items())))
    less = Documents(SIGNER).of(KeyStore(tmp_path / "k", ENVELOPE), Brakes(tmp_path / "b", ENVELOPE), NOW)
    assert less == {}
    judge = believing(tmp_path, clock=lambda: NOW)

    def judged(step: Step) -> Release:
        release = Release(6, "new", 4, (Step((B,)), step))
        data = signed(release, before.digest_after(release.steps), Address("default", NOW), SIGNER)
        return judge.judged(data, AT, before)

    for name in told:
        with pytest.raises(Forbidden, match="knows less of what was revoked"):
            judged(Step(removed=((NOTE, name),)))
    brakes.lift(brakes.held(NOW)[0].id, "bob")
    keys.revoke(keys.new("acme").id)
    more = Documents(SIGNER).of(keys, brakes, NOW)
    assert judged(Step(tuple(resource(NOTE, name, body) for name, body in more.items()))).sequence == 6


def test_a_beat_counts_for_who_holds_the_newest(tmp_path: Path) -> None:
    judge = believing(tmp_path, clock=lambda: NOW)

    def beat(sequence: int = 5, group: str = "default", at: float = NOW, by: Signing = SIGNER) -> bytes:
        return signed_beat(Beat(group=group, sequence=sequence, at=at), by)

    assert judge.counts(beat(), AT)
    assert judge.counts(beat(sequence=4, at=NOW - 800), AT)
    assert not judge.counts(beat(sequence=6), AT)
    assert not judge.counts(beat(group="other"), AT)
    for bad, why in ((beat(by=STRANGER), "isn't signed"), (beat(at=NOW - 1000), "1000 s apart"), (beat(at=NOW + 1000), "1000 s apart")):
        with pytest.raises(ValueError, match=why):
            judge.counts(bad, AT)
