"""`bartizan status`: which revision is active, since when, on which node."""

import argparse
import time
from typing import Any

from bartizan.cli.arguments import as_json
from bartizan.cli.output import painted, printable, say, show_json
from bartizan.cli.remote import asked, called, remote
from bartizan.rollout.stages import label

NAME = "status"
HELP = "Show the active revision, the nodes that acknowledged it, and what needs attention."
EXAMPLES = (
    "bartizan status",
    "bartizan status --json --state /var/lib/bartizan",
    "bartizan status --server https://gateway.example:9181 --token-file ~/.bartizan-token",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    remote(parser)
    as_json(parser)


def run(read: argparse.Namespace) -> int:
    """Shows. Exit status 1 if the files are refused, or a node lags or can't keep what it has."""
    told = asked(read.state, "/status") if read.server is None else _flat(called(read, "GET", "/v1/status"))
    good = not told["refused"] and not told["error"] and all(node["acknowledged"] and node["kept"] for node in told["nodes"])
    if read.json:
        show_json(told)
    else:
        _show(told)
    return 0 if good else 1


def _flat(told: dict[str, Any]) -> dict[str, Any]:
    """What the admin API tells of a gateway, as the gateway itself tells it on its machine."""
    return {**told["more"], **{name: value for name, value in told.items() if name != "more"}}


def _show(told: dict[str, Any]) -> None:
    enforced = f", enforced in {told['enforced_ms']:.0f} ms" if told["enforced_ms"] is not None else ""
    say(f"revision {painted(told['revision'] or 'none', 'bold')} since {_when(told['since'])}, generation {told['generation']}{enforced}")
    if told["nodes"]:
        say(_active(told))
    for node in told["nodes"]:
        _show_node(node)
    _show_under_way(told)
    if told["error"]:
        say(painted(f"an error of Bartizan's own: {told['error']}", "red"))
    for problem in told["refused"]:
        say(painted(f"refused: {problem['file']}:{problem['line']} {problem['path']}: {problem['message']}", "red"))
    for sentence in told["loosened"]:
        say(painted(f"loosened: {sentence}", "yellow"))
    _show_context(told)
    for warning in told["warnings"]:
        say(painted(f"warning: {warning}", "yellow"))
    for source in told["blocked"]:
        say(f"blocked: {source}")


def _show_context(told: dict[str, Any]) -> None:
    for one in told.get("context", ()):
        age = "never said at once" if one["age"] is None else f"{one['age']:.0f} s old{'' if one['counts'] else ', stale'}"
        say(f"context {one['name']}: of {one['subjects']} subjects, {age}")


def _show_under_way(told: dict[str, Any]) -> None:
    """What isn't as the files say, or not yet everywhere, and what is blocked by hand."""
    if told["drift"]:
        say(painted(f"drift: {printable(told['drift'])}", "yellow"))
    rollout = told["rollout"]
    if rollout is not None and rollout["status"] != "done":
        why = f": {printable(rollout['why'])}" if rollout["why"] else ""
        colour = "red" if rollout["status"] in {"failed", "aborted"} else "yellow"
        stage = label(rollout["stages"], rollout["at"])
        whom = rollout["figures"].get(stage, {})
        told_whom = ", ".join(f"{name} {whom[name]}" for name in ("nodes", "consumers", "percent") if name in whom)
        where = printable(f"{stage} ({told_whom})" if told_whom else stage)
        say(painted(f"rollout of {rollout['revision']} is {rollout['status']} in {where}{why}", colour))
    for brake in told["brakes"]:
        holds = "waits for a second person" if brake["waits"] else f"until {_when(brake['until'])}"
        say(printable(f"blocked: {brake['what']} {brake['value']} {holds}, by {brake['by']}: {brake['reason']} ({brake['id']})"))


def _active(told: dict[str, Any]) -> str:
    """On how many nodes the revision is, and how long the last of them took."""
    nodes, revision = told["nodes"], told["revision"]
    active = sum(node["acknowledged"] and not node["lag"] and node["position"]["revision"] == revision for node in nodes)
    spreads = [spread for spread in told["propagation"]["last"] if spread["revision"] == revision]
    took = f" in {max(spreads[0]['ms'].values()):.0f} ms" if spreads and spreads[0]["ms"] else ""
    text = f"revision {revision or 'none'} is active on {active}/{len(nodes)} nodes{took}"
    return painted(text, "green" if active == len(nodes) else "red")


def _show_node(node: dict[str, Any]) -> None:
    position = node["position"]
    group = f" ({node['group']})" if node["group"] != "default" else ""
    acknowledged = painted("acknowledged", "green") if node["acknowledged"] else painted("not acknowledged", "red")
    kept = painted("kept", "green") if node["kept"] else painted("not kept on its disk", "red")
    where = "connected" if node["connected"] else "gone"
    envoy = "Envoy up" if node["envoy"] else "Envoy down"
    lag = painted(f", {node['lag']} releases behind", "red") if node["lag"] else ""
    # What a node of another machine says is shown, never obeyed.
    revision = printable(position["revision"])
    say(
        f"  node {printable(node['node_id'])}{group}: {revision} {acknowledged} since {_when(node['since'])}, {kept}, {where}, {envoy}{lag}"
    )
    if node["error"]:
        say(f"    {painted(printable(node['error']), 'red')}")
    if node.get("records"):
        say(f"    {_records(node['records'])}")


def _records(told: dict[str, Any]) -> str:
    """How far the records of a node of another machine have come."""
    streams = [told[name] for name in ("requests", "failures") if name in told]
    behind, lost, refused = (sum(one[what] for one in streams) for what in ("behind_bytes", "lost", "refused"))
    parts = [f"{told.get('requests', {}).get('records', 0)} records came" + ("" if told["ships"] else painted(", none come now", "red"))]
    parts += [f"{behind / 1e6:.1f} MB wait there"] if behind else []
    parts += [painted(f"{lost} were lost there", "red")] if lost else []
    parts += [painted(f"{refused} lines were none", "red")] if refused else []
    parts += [painted(printable(told["problem"]), "red")] if told["problem"] else []
    return ", ".join(parts)


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else "never"
