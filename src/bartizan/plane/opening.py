"""What keeps a gateway from starting, beyond what its files say by themselves."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from bartizan.compile.referring import Grants, secret_problems
from bartizan.identity.certificates import Certificates
from bartizan.identity.crls import Lists
from bartizan.identity.databases import Databases
from bartizan.identity.named import FILE, NamedSecrets
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.accepted import FILE as ACCEPTED
from bartizan.secrets.keyring import load_or_create


def at_start(base: Path, state: Path) -> Callable[[Snapshot], Iterable[Problem]]:
    """Looks for listeners without a good pair, and at the very first start for secrets that aren't there. Later such a one keeps nothing
    from starting: it is refused where it is used, and a machine that comes up again shall serve the rest. Makes nothing."""

    def problems(snapshot: Snapshot) -> Iterator[Problem]:
        yield from Databases(base, state).problems(snapshot)
        if not (state / FILE).exists():
            yield from Certificates(base).problems(snapshot)
            yield from Lists(base).problems(snapshot)
            yield from _missing(snapshot, {}, state)
            return
        with closing(NamedSecrets(state / FILE, load_or_create(state / "control.key"))) as named:
            yield from Certificates(base, named).problems(snapshot)
            yield from Lists(base, named).problems(snapshot)
            yield from _missing(snapshot, named.grants(), state)

    return problems


def _missing(snapshot: Snapshot, grants: Grants, state: Path) -> Iterator[Problem]:
    if not (state / ACCEPTED).exists():
        yield from secret_problems(snapshot, grants)
