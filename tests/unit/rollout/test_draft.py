"""What was prepared is taken if it is still what is there, and never otherwise."""

import time
from pathlib import Path

from bartizan.compile import Compiled, resources, shared, stamp
from bartizan.model.problem import Place, Problem
from bartizan.rollout.draft import Drafts
from bartizan.rollout.folder import Folder
from bartizan.rollout.state import Live, State
from bartizan.rollout.verdict import Opening, Verdict

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
---
kind: Authenticate
name: callers
any: [api_key]
"""
API = "kind: Api\nname: orders\npaths: [/orders]\nupstream: http://127.0.0.1:9\n"
POLICY = "---\nkind: Authorize\nname: some\ntarget: {api: orders}\nallow: principal.id == 'WHO'\n"


def _drafts(folder: Path) -> tuple[Drafts, State]:
    (folder / "gateway.yaml").write_text(FRAME)
    (folder / "orders.yaml").write_text(API + POLICY.replace("WHO", "acme"))
    made = Drafts(Folder(folder))
    compiled = made.compiled(None)
    assert isinstance(compiled, Compiled)
    return made, made.state(compiled, Live(), None)


def _edited(folder: Path, text: str) -> None:
    (folder / "orders.yaml").write_text(text)
    time.sleep(0.03)  # as long as the file's time may be that of another change


def test_what_was_prepared_is_what_is_taken(tmp_path: Path) -> None:
    drafts, before = _drafts(tmp_path)
    _edited(tmp_path, API + POLICY.replace("WHO", "globex"))
    look = drafts.folder.look()
    drafts.prepare(before, look)
    compiled = drafts.compiled(before.compiled, drafts.folder.look())
    assert isinstance(compiled, Compiled)
    assert compiled is drafts.compiled(before.compiled, look)
    alive = Live(7, tables={"a": b"table"})
    prepared, anew = drafts.state(compiled, alive, before), Drafts(drafts.folder).state(compiled, alive, before)
    assert (prepared.live, prepared.resources()) == (alive, anew.resources())
    assert drafts.compiled(compiled) is compiled, "nothing changed, so nothing is compiled"


def test_what_was_prepared_isnt_taken_if_another_edit_came(tmp_path: Path) -> None:
    drafts, before = _drafts(tmp_path)
    _edited(tmp_path, API + POLICY.replace("WHO", "globex"))
    drafts.prepare(before, drafts.folder.look())
    _edited(tmp_path, API + POLICY.replace("WHO", "initech"))
    compiled = drafts.compiled(before.compiled)
    assert isinstance(compiled, Compiled)
    state = drafts.state(compiled, Live(), before)
    whole = {**resources(compiled, stamp(compiled, before.stamps)), **shared(compiled)}
    assert all(state.resources()[key] == body for key, body in whole.items())


def test_what_was_prepared_for_another_state_isnt_taken(tmp_path: Path) -> None:
    drafts, before = _drafts(tmp_path)
    first = API + POLICY.replace("WHO", "globex")
    _edited(tmp_path, first)
    between = drafts.compiled(before.compiled)
    assert isinstance(between, Compiled)
    middle = drafts.state(between, Live(), before)
    _edited(tmp_path, first + POLICY.replace("some", "more"))
    drafts.prepare(before, drafts.folder.look())
    compiled = drafts.compiled(between)
    assert isinstance(compiled, Compiled)
    state = drafts.state(compiled, Live(), middle)
    assert state.policy == resources(compiled, stamp(compiled, middle.stamps))


def test_mistakes_are_prepared_without_consequence(tmp_path: Path) -> None:
    drafts, before = _drafts(tmp_path)
    _edited(tmp_path, API + POLICY.replace("orders}", "nowhere}"))
    drafts.prepare(before, drafts.folder.look())
    found = drafts.compiled(before.compiled)
    assert isinstance(found, tuple) and found[0].code == "api-unknown"
    _edited(tmp_path, API.replace("/orders]", "/orders, /more]"))
    assert isinstance(drafts.compiled(before.compiled), Compiled)


def test_the_verdict_tells_problems_or_listeners(tmp_path: Path) -> None:
    drafts, _ = _drafts(tmp_path)
    assert drafts.verdict(lambda _: ()) == Verdict((), (Opening("web", "127.0.0.1:8080", "127.0.0.1", 8080),))
    further = Problem(Place("a.yaml", 3, "Tls/web"), "certificate-unusable", "it can't be read", "mend it")
    assert drafts.verdict(lambda _: (further,)).problems == (further,)
    _edited(tmp_path, "kind: Apl\n")
    assert [one.code for one in drafts.verdict(lambda _: (further,)).problems] == ["kind-unknown"]
