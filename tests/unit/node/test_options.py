"""Where a node's things are."""

from pathlib import Path

from bartizan.node.options import NodeOptions, admin_socket, ads_socket, control_socket


def test_the_sockets_are_together_and_apart(tmp_path: Path) -> None:
    sockets = {control_socket(tmp_path), ads_socket(tmp_path), admin_socket(tmp_path)}
    assert len(sockets) == 3
    assert len({path.parent for path in sockets}) == 1


def test_what_is_kept_is_in_the_state(tmp_path: Path) -> None:
    options = NodeOptions(tmp_path, control_socket(tmp_path), "n1")
    assert options.key.parent == options.last_good.parent == tmp_path
