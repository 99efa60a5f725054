"""How a node's Envoy is started."""

import json
from pathlib import Path

from bartizan.envoy import binary
from bartizan.node.envoy_process import envoy_child
from bartizan.node.options import EnvoyOptions, NodeOptions


def test_is_started_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "envoy.log").write_text("of the run before")
    child = envoy_child(NodeOptions(tmp_path, tmp_path / "control.sock", "n1"), EnvoyOptions(concurrency=3))
    argv = child.command.argv
    assert argv[0] == str(binary())
    assert argv[argv.index("--concurrency") + 1] == "3"
    assert json.loads((tmp_path / "envoy.json").read_text())["node"]["id"] == "n1"
    assert (tmp_path / "envoy.log.1").read_text() == "of the run before"
    assert child.command.output == tmp_path / "envoy.log"
    assert "--concurrency" not in envoy_child(NodeOptions(tmp_path, tmp_path / "c", "n1"), EnvoyOptions()).command.argv
