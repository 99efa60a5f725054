"""`bartizan explain`: why a request was let through or refused."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bartizan.cli.arguments import as_json, state
from bartizan.cli.output import complain, painted, say, show_json
from bartizan.cli.remote import asked
from bartizan.errors import BartizanError
from bartizan.telemetry.decision import Decision, decision_of
from bartizan.telemetry.search import record

NAME = "explain"
HELP = "Explain the decision on a request: revision, each policy's verdict, the attributes it saw."
EXAMPLES = ("bartizan explain 7f671899-5a5a-4b79-8517-d8b9b76b25f2",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("request_id", help="the request's id, from the answer's x-request-id or its problem")
    state(parser)
    as_json(parser)


def run(read: argparse.Namespace) -> int:
    """Explains. Exit status 1 if there is no record."""
    found = record(read.state / "records", read.request_id)
    if found is None:
        complain(f"there is no record of {read.request_id} in {read.state / 'records'}: it is too old, or another gateway's")
        return 1
    decision = decision_of(found)
    remedy = _remedy(read, decision)
    if read.json:
        show_json({"record": found, "decision": asdict(decision), "remedy": remedy})
    else:
        _show(found, decision, remedy)
    return 0


def _remedy(read: argparse.Namespace, decision: Decision) -> str:
    """What would have let the request through, from the policy as it is now."""
    if not decision.refused:
        return ""
    try:
        policy = asked(read.state, f"/resources/{decision.by}") if "/" in decision.by else {}
    except BartizanError:
        policy = {}
    if "allow" in policy:
        return f"{decision.by} lets through where: {str(policy['allow']).strip()}"
    if "any" in policy:
        ways = " or ".join(
            "an API key" if way.get("api_key") else f"a token of {way['jwt']}" if way.get("jwt") else f"a certificate of {way['mtls']}"
            for way in policy["any"]
        )
        return f"{decision.by} lets through with {ways}"
    return ""


def _show(found: Mapping[str, Any], decision: Decision, remedy: str) -> None:
    outcome = painted("refused", "red") if decision.refused else painted("let through", "green")
    say(f"{found['http_method']} {found['host']}{found['path']} at {found['time']}: {outcome} with {found['status']}")
    say(f"by {painted(decision.by, 'bold')}: {decision.why}")
    told = ("revision", "generation", "api", "route")
    say(", ".join(f"{name} {found.get(name) or 'none'}" for name in told))
    caller = found.get("principal") or "nobody"
    say(f"principal {caller} by {found.get('auth_method') or 'nothing'}, from {found['source']}")
    for name, value in {**(found.get("attributes") or {}), "groups": found.get("groups")}.items():
        say(f"  {name} = {value if value is not None else 'missing'}")
    for verdict in decision.verdicts:
        said = painted("allowed", "green") if verdict.allowed else painted("denied", "red")
        say(f"  {verdict.policy}: {said}{' (shadow)' if verdict.shadow else ''}")
    if remedy:
        say(remedy)
