"""What `bartizan key import` looks at beside the state: the file, and whether a gateway that runs knows the consumers."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlencode

from bartizan.cli.remote import asked, runs
from bartizan.errors import Unavailable
from bartizan.identity.bringing import Brought, problem
from bartizan.model.problem import Problem


def content_of(file: Path) -> bytes:
    """What the file holds. Unavailable if it can't be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise Unavailable(f"{file} can't be read: {error.strerror or error}.") from None


def unknown_consumers(state: Path, found: Iterable[Brought], file: str) -> Iterator[Problem]:
    """Keys of consumers that the gateway of this machine doesn't know. If none runs, nobody can tell."""
    if not runs(state):
        return
    known = frozenset(_consumers(state))
    for one in found:
        if one.wanted.consumer not in known:
            yield problem(file, one.line, "consumer-unknown", f"there is no Consumer {one.wanted.consumer!r}", "Declare it first.")


def _consumers(state: Path) -> Iterator[str]:
    after: str | None = ""
    while after is not None:
        page = asked(state, f"/v1/resources?{urlencode({'kind': 'Consumer', 'limit': 1000, 'after': after})}")
        yield from (one["name"] for one in page["items"])
        after = page["next"]
