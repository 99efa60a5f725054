"""What was accepted last comes back as it was, or not at all."""

from pathlib import Path

import pytest

from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.accepted import Accepted

TEXTS = {
    "a.yaml": "kind: Gateway\nname: edge\nlisteners: [{name: web, address: '127.0.0.1:1'}]\n",
    "b/c.yaml": "{kind: Api, name: orders, paths: [/orders], upstream: 'http://127.0.0.1:2'}\n---\n"
    "{kind: IpAccess, name: list, target: {api: orders}, deny: {file: bad.txt}}\n---\n"
    "{kind: Public, name: all, reason: whoever may come}\n",
}
NAMED = {"bad.txt": b"192.0.2.0/24\n"}


def test_what_was_kept_is_the_same_revision(tmp_path: Path) -> None:
    wanted = assemble([read(text, name) for name, text in TEXTS.items()], NAMED)
    accepted = Accepted(tmp_path / "accepted.json")
    accepted.take(TEXTS, NAMED)
    assert accepted.due
    accepted.keep()
    assert not accepted.due
    made = accepted.compiled()
    assert isinstance(wanted, Snapshot) and made is not None
    found = made.snapshot
    assert (found.revision, dict(found.files)) == (wanted.revision, NAMED)
    assert found.resource(found.apis["orders"]).file == "b/c.yaml"


@pytest.mark.parametrize(
    "damage", ["", "[]", "{}", '{"texts": {"a": 1}, "named": {}}', '{"texts": {}, "named": {}}', '{"texts": {"a": "kind: x"}}']
)
def test_what_cant_be_read_is_nothing(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "accepted.json"
    assert Accepted(file).compiled() is None
    file.write_text(damage)
    assert Accepted(file).compiled() is None
