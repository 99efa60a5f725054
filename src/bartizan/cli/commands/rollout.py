"""`bartizan rollout`: how far a change is, and what people ask of it."""

import argparse
import time
from typing import Any

from bartizan.cli.arguments import as_json
from bartizan.cli.output import painted, printable, say, show_json
from bartizan.cli.remote import called, remote
from bartizan.rollout.stages import label

NAME = "rollout"
HELP = "Show the rollout that is under way, or approve, pause, resume, promote or abort it."
EXAMPLES = ("bartizan rollout", "bartizan rollout approve", "bartizan rollout abort")
_COLOURS = {"done": "green", "failed": "red", "aborted": "red", "paused": "yellow", "waiting": "yellow"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = ("show", "approve", "pause", "resume", "promote", "abort")
    told = "approve: by a second person; promote: past the stage it is in; abort: give it up, or take it back"
    parser.add_argument("what", nargs="?", choices=what, default="show", help=told)
    remote(parser)
    as_json(parser)


def run(read: argparse.Namespace) -> int:
    """Shows, after what was asked. Exit status 1 if the rollout has failed or was aborted."""
    if read.what == "show":
        told = called(read, "GET", "/v1/rollout")
    elif read.what == "approve":
        told = called(read, "POST", "/v1/rollout/approval")
    else:
        told = called(read, "POST", "/v1/rollout", {"what": read.what})
    if read.json:
        show_json(told)
    else:
        _show(told)
    return 1 if told["status"] == "failed" or (told["status"] == "aborted" and read.what != "abort") else 0


def _show(told: dict[str, Any]) -> None:
    status = painted(told["status"], _COLOURS.get(told["status"], "bold"))
    say(f"revision {painted(told['revision'], 'bold')} of commit {told['number']} by {printable(told['author'])}: {status}")
    if told["why"]:
        say(f"  {printable(told['why'])}")
    for at in range(len(told["stages"])):
        stage = label(told["stages"], at)
        passed = at < told["at"] or told["status"] == "done"
        mark = "x" if passed else ">" if at == told["at"] else " "
        figures = ", ".join(f"{name} {value}" for name, value in told["figures"].get(stage, {}).items())
        say(f"  [{mark}] {stage}" + (f": {printable(figures)}" if figures else ""))
    for step in told["history"][-10:]:
        say(painted(f"  {time.strftime('%H:%M:%SZ', time.gmtime(step['time']))} {printable(step['what'])}", "dim"))
