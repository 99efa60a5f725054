"""A node's Envoy as a child process: its start configuration, its log, its folder."""

import orjson

from bartizan.envoy import binary
from bartizan.envoy.bootstrap import Bootstrap
from bartizan.envoy.program import INHERITS, arguments, checked_version, why_ended, zoneinfo
from bartizan.lib.process import Child, Command
from bartizan.lib.sockets import private_folder
from bartizan.node.options import EnvoyOptions, NodeOptions, admin_socket, ads_socket, callout_socket


def envoy_child(node: NodeOptions, options: EnvoyOptions) -> Child:
    """The node's Envoy, ready to be kept running. Unavailable if there is no binary that fits."""
    path = options.binary or binary()
    checked_version(path)
    private_folder(node.state)
    private_folder(node.state / "records")  # listeners name files in it, relative to the working directory
    private_folder(node.state / "places")
    config, log = node.state / "envoy.json", node.state / "envoy.log"
    bootstrap = Bootstrap(
        node.node_id,
        str(ads_socket(node.state)),
        str(admin_socket(node.state)),
        str(callout_socket(node.state)),
        max_connections=options.max_connections,
    )
    config.write_bytes(orjson.dumps(bootstrap.config(), option=orjson.OPT_INDENT_2))
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    argv = (str(path), *arguments(config, options.concurrency))
    command = Command(argv, env={"TZDIR": str(zoneinfo())}, inherits=INHERITS, output=log, cwd=node.state)
    return Child("Envoy", command, why=lambda status: why_ended(log, status))
