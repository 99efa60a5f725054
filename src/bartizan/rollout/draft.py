"""What the files declare, compiled before it counts: most of the work is done while the folder comes to rest, and none of it twice."""

from collections.abc import Callable, Iterable

from bartizan.compile import Compiled, compile
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.folder import Folder, Look
from bartizan.rollout.state import Live, State, state_of
from bartizan.rollout.verdict import Opening, Verdict


class Drafts:
    """The drafts of one folder. Only the newest is kept, and what it was made from."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._compiled: tuple[Compiled | None, Compiled] | None = None
        self._state: tuple[Compiled, State] | None = None

    def compiled(self, before: Compiled | None, look: Look | None = None) -> Compiled | tuple[Problem, ...]:
        """What is there now (or was at this look), or everything that is wrong with it. What `before` has in common is taken over."""
        found = self.folder.snapshot(look)
        if not isinstance(found, Snapshot):
            return found
        known = self._compiled
        if known is None or known[1].snapshot is not found or all(one is not before for one in known):
            known = self._compiled = (before, compile(found, before=before))
        return known[1].problems or known[1]

    def verdict(self, further: Callable[[Snapshot], Iterable[Problem]]) -> Verdict:
        """What whoever starts the control plane wants to know first. `further` looks for what compiling can't see."""
        found = self.compiled(None)
        if not isinstance(found, Compiled):
            return Verdict(found)
        listeners = found.snapshot.gateway.listeners
        return Verdict(tuple(further(found.snapshot)), tuple(Opening(one.name, one.address, one.host, one.port) for one in listeners))

    def prepare(self, before: State, look: Look) -> None:
        """Makes ready what may soon follow on `before`. Nothing of it counts yet."""
        made = self.compiled(before.compiled, look)
        if isinstance(made, Compiled) and made is not before.compiled:
            self._state = (before.compiled, state_of(made, before.live, before))

    def state(self, compiled: Compiled, alive: Live, before: State | None) -> State:
        """The state of these policies and this live data."""
        if before is not None and self._state is not None and self._state[0] is before.compiled and self._state[1].compiled is compiled:
            before = self._state[1]
        self._state = None
        return state_of(compiled, alive, before)
