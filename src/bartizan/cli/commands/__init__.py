"""The shelf of commands: one file each, with NAME, HELP, EXAMPLES, `arguments(parser)` and `run(arguments) -> exit status`.

Only the command that is called is imported, because some bring much along.
"""

import argparse
import importlib
from typing import Protocol, cast

NAMES = (
    "up",
    "check",
    "test",
    "replay",
    "bisect",
    "lint",
    "apply",
    "proposal",
    "rollout",
    "rollback",
    "status",
    "explain",
    "diff",
    "dump",
    "log",
    "audit",
    "block",
    "key",
    "secret",
    "context",
    "token",
    "people",
    "authorization",
    "login",
    "logout",
    "node",
    "schema",
    "completion",
    "version",
)


class Command(Protocol):
    """What a command's module holds."""

    NAME: str
    HELP: str
    EXAMPLES: tuple[str, ...]

    def arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, read: argparse.Namespace) -> int: ...


def command(name: str) -> Command:
    """The command of this name, imported."""
    return cast(Command, importlib.import_module(f"bartizan.cli.commands.{name}"))
