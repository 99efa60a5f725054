"""The shelf of commands: one file each, with NAME, HELP, EXAMPLES, `arguments(parser)` and `run(arguments) -> exit status`."""

from bartizan.cli.commands import check, completion, diff, dump, explain, key, schema, status, up, version

COMMANDS = (up, check, status, explain, diff, dump, key, schema, completion, version)
