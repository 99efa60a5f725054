"""What nodes are told beside what their Envoy gets."""

from pathlib import Path

import orjson

from bartizan.compile import Compiled
from bartizan.compile.riding import riding
from bartizan.compile.split import Callers, Split
from bartizan.envoy import names
from bartizan.rollout.draft import Drafts
from bartizan.rollout.folder import Folder
from bartizan.rollout.state import Live, divided, state_of

FRAME = "kind: Gateway\nname: edge\nlisteners: [{name: web, address: '127.0.0.1:8080'}]\n"


def compiled(folder: Path, more: str = "") -> Compiled:
    (folder / "gateway.yaml").write_text(FRAME + more)
    made = Drafts(Folder(folder)).compiled(None)
    assert isinstance(made, Compiled)
    return made


def test_what_was_revoked_goes_along_whatever_the_policies_are(tmp_path: Path) -> None:
    alive = Live(notes={"revoked/brakes": b"signed"})
    before = state_of(compiled(tmp_path), alive)
    after = state_of(compiled(tmp_path, "max_stale: 90s\n"), alive, before)
    for state in (before, after):
        assert state.resources()[names.NOTE, "revoked/brakes"] == b"signed"


def test_how_long_keys_count_is_told_if_it_is_limited(tmp_path: Path) -> None:
    assert (names.NOTE, names.SETTINGS) not in state_of(compiled(tmp_path), Live()).resources()
    told = state_of(compiled(tmp_path, "max_stale: 90s\n"), Live()).resources()[names.NOTE, names.SETTINGS]
    assert orjson.loads(told) == {"max_stale_s": 90.0}


def test_a_canary_by_caller_that_fits_neither_revision_is_left_out(tmp_path: Path) -> None:
    more = "---\n{kind: Api, name: a, paths: [/a], upstream: 'http://127.0.0.1:1'}\n---\n{kind: Authenticate, name: c, any: [api_key]}\n"
    active = compiled(tmp_path, more)
    candidate = compiled(tmp_path, more + "---\n{kind: Authorize, name: no, allow: 'false'}\n")
    third = compiled(tmp_path, more + "---\n{kind: Authorize, name: yes, allow: 'true'}\n")
    split = Split(Callers(("acme",)), active.snapshot.revision, candidate.snapshot.revision, riding(active, candidate))
    plain, split_up, out, other = (
        divided(state_of(one, Live()), wanted) for one, wanted in ((active, None), (active, split), (candidate, split), (third, split))
    )
    assert set(split_up.beside) >= {(names.ROUTES, "*/a")}
    assert set(split_up.marks) == set(out.marks) == {(names.ECDS, names.BRAKES)}
    assert not (out.beside or other.beside or other.marks or plain.beside or plain.marks)
    assert {key for key, body in split_up.resources().items() if plain.resources().get(key) != body} == {
        (names.ROUTES, "*/a"),
        (names.ECDS, names.BRAKES),
    }
    # As long as neither revision changes, what stands beside isn't made anew.
    later = divided(state_of(active, Live(2), split_up), split, split_up)
    assert later.beside is split_up.beside
    assert split_up.unmarked().resources() == {**plain.resources(), **split_up.beside}
