"""Files on the command line, compiled."""

from pathlib import Path

from bartizan.compile import Compiled, compile
from bartizan.identity.certificates import Certificates
from bartizan.identity.databases import Databases
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.folder import Folder


def compiled(path: Path, *, databases: bool = False) -> Compiled | tuple[Problem, ...]:
    """What the files compile to, or all that is wrong with them. `databases`: with those of places, which only a running gateway needs."""
    folder = Folder(path)
    found = folder.snapshot()
    if not isinstance(found, Snapshot):
        return found
    made = compile(found)
    wrong = [*Certificates(folder.base).problems(found), *(Databases(folder.base).problems(found) if databases else ())]
    return made.problems or tuple(wrong) or made
