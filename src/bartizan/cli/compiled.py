"""Files on the command line, compiled."""

from pathlib import Path

from bartizan.compile import Compiled, compile
from bartizan.identity.certificates import Certificates
from bartizan.identity.databases import Databases
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.folder import Folder


def compiled(path: Path) -> Compiled | tuple[Problem, ...]:
    """What the files compile to, or all that is wrong with them."""
    folder = Folder(path)
    found = folder.snapshot()
    if not isinstance(found, Snapshot):
        return found
    made = compile(found)
    return made.problems or (*Certificates(folder.base).problems(found), *Databases(folder.base).problems(found)) or made
