"""What nodes are told beside what their Envoy gets."""

from pathlib import Path

import orjson

from bartizan.compile import Compiled
from bartizan.envoy import names
from bartizan.rollout.draft import Drafts
from bartizan.rollout.folder import Folder
from bartizan.rollout.state import Live, state_of

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
