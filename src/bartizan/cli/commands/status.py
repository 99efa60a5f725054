"""`bartizan status`: which revision is active, since when, on which node."""

import argparse
import time
from typing import Any

from bartizan.cli.arguments import as_json, state
from bartizan.cli.output import painted, say, show_json
from bartizan.cli.remote import asked

NAME = "status"
HELP = "Show the active revision, the nodes that acknowledged it, and what needs attention."
EXAMPLES = ("bartizan status", "bartizan status --json --state /var/lib/bartizan")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    state(parser)
    as_json(parser)


def run(read: argparse.Namespace) -> int:
    """Shows. Exit status 1 if the files are refused, or a node lags or can't keep what it has."""
    told = asked(read.state, "/status")
    good = not told["refused"] and not told["error"] and all(node["acknowledged"] and node["kept"] for node in told["nodes"])
    if read.json:
        show_json(told)
    else:
        _show(told)
    return 0 if good else 1


def _show(told: dict[str, Any]) -> None:
    enforced = f", enforced in {told['enforced_ms']:.0f} ms" if told["enforced_ms"] is not None else ""
    say(f"revision {painted(told['revision'] or 'none', 'bold')} since {_when(told['since'])}, generation {told['generation']}{enforced}")
    for node in told["nodes"]:
        position = node["position"]
        state_text = painted("acknowledged", "green") if node["acknowledged"] else painted("not acknowledged", "red")
        kept = painted("kept", "green") if node["kept"] else painted("not kept on its disk", "red")
        where = "connected" if node["connected"] else "gone"
        envoy = "Envoy up" if node["envoy"] else "Envoy down"
        say(f"  node {node['node_id']}: {position['revision']} {state_text} since {_when(node['since'])}, {kept}, {where}, {envoy}")
        if node["error"]:
            say(f"    {painted(node['error'], 'red')}")
    if told["error"]:
        say(painted(f"an error of Bartizan's own: {told['error']}", "red"))
    for problem in told["refused"]:
        say(painted(f"refused: {problem['file']}:{problem['line']} {problem['path']}: {problem['message']}", "red"))
    for sentence in told["loosened"]:
        say(painted(f"loosened: {sentence}", "yellow"))
    for warning in told["warnings"]:
        say(painted(f"warning: {warning}", "yellow"))
    for source in told["blocked"]:
        say(f"blocked: {source}")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else "never"
