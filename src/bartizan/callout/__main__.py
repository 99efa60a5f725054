"""`python -m bartizan.callout --socket PATH --told PATH --wanted FILE [--nonce]`: waits, with next to nothing in memory, until the node
says that it is needed."""

import os
import sys
import time

_EVERY_S = 0.1


def main(arguments: list[str]) -> None:
    """Becomes the server as soon as it is wanted."""
    wanted = arguments[arguments.index("--wanted") + 1]
    while not os.path.exists(wanted):
        time.sleep(_EVERY_S)
    os.execv(sys.executable, [sys.executable, "-m", "bartizan.callout.server", *arguments])  # noqa: S606 - ourselves


if __name__ == "__main__":
    main(sys.argv[1:])
