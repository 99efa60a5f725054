"""Writes the reference from the source: a page for each kind and one for the command line. `python -m bartizan.cli.reference DIR`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bartizan.cli.commands import NAMES
from bartizan.cli.main import parser
from bartizan.cli.output import say
from bartizan.compile.manual import kind_page
from bartizan.compile.read import TYPES


def commands_page() -> str:
    """The help of every command."""
    whole = parser()
    chosen = next(action for action in whole._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001 - argparse offers no other way
    parts = ["# The command line", ""]
    for name in NAMES:
        parts += [f"## bartizan {name}", "", "```", chosen.choices[name].format_help().rstrip(), "```", ""]
    return "\n".join(parts)


def main(arguments: Sequence[str]) -> int:
    """Writes all pages into a folder."""
    folder = Path(arguments[0] if arguments else "docs/reference")
    folder.mkdir(parents=True, exist_ok=True)
    for kind in TYPES:
        (folder / f"{kind}.md").write_text(kind_page(kind), encoding="utf-8")
    (folder / "commands.md").write_text(commands_page(), encoding="utf-8")
    say(f"{len(TYPES) + 1} pages in {folder}")
    return 0


__all__ = ["commands_page", "kind_page", "main"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
