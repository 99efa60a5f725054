"""`bartizan completion`: a script that lets the shell complete commands and options."""

import argparse

import shtab

from bartizan.cli.output import say

NAME = "completion"
HELP = "Print a completion script for your shell."
EXAMPLES = ("bartizan completion bash > /etc/bash_completion.d/bartizan", "bartizan completion zsh")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("shell", choices=shtab.SUPPORTED_SHELLS)


def run(read: argparse.Namespace) -> int:
    """Prints."""
    from bartizan.cli.main import parser as whole

    say(shtab.complete(whole(), shell=read.shell))
    return 0
