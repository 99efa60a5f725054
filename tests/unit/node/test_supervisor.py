"""The processes of a node, as children."""

import subprocess
import sys
from pathlib import Path

from bartizan.node.options import EnvoyOptions, NodeOptions, control_socket
from bartizan.node.supervisor import node_children


def test_a_node_and_its_envoy_are_apart(tmp_path: Path) -> None:
    envoy, callout, node = node_children(NodeOptions(tmp_path, control_socket(tmp_path), "n1", alone=True), EnvoyOptions())
    assert envoy.name == "Envoy"
    assert callout.command.argv[:3] == (sys.executable, "-m", "bartizan.callout")
    assert "--nonce" not in callout.command.argv
    assert node.command.argv[:3] == (sys.executable, "-m", "bartizan.node")
    assert "n1" in node.command.argv


def test_a_node_of_a_fleet_is_told_so_and_where_it_listens(tmp_path: Path) -> None:
    _, callout, node = node_children(NodeOptions(tmp_path, None, "edge", ("web=127.0.0.1:1", "six=[::1]:2")), EnvoyOptions())
    assert callout.command.argv[-1] == "--nonce", "other nodes serve the same callers"
    assert node.command.argv[-5:] == ("--fleet", "--listen", "web=127.0.0.1:1", "--listen", "six=[::1]:2")


def test_the_supervisor_is_free_of_grpc() -> None:
    """It is to be small, and to have little that could fail."""
    script = "import sys, bartizan.node.supervisor, bartizan.node.membership; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_node_is_free_of_the_compiler() -> None:
    """It is to be back at once, and small beside each Envoy."""
    script = (
        "import sys, bartizan.node.main; sys.exit(bool({'bartizan.compile', 'bartizan.policies', 'cel_expr_python'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_call_out_that_nobody_needs_is_next_to_nothing() -> None:
    script = (
        "import sys, bartizan.callout.__main__; sys.exit(bool({'grpc', 'google.protobuf', 'jwt', 'asyncio', 'pathlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-S", "-c", script], check=False, env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
