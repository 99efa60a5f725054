"""Who asks for something, why, and from where: what the audit log tells of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class By:
    """A person, a program, or the files."""

    author: str
    message: str = ""
    origin: str = "local"
    """An address, or `local` for who owns the state's folder."""
    emergency: bool = False
    """Approval, windows and stages are passed by: loud, and in the audit log."""
    team: str | None = None
    """The team whose things alone may be changed; None: everybody's."""
    beside: tuple[str, ...] = ()
    """Who else made it, such as whoever proposed it: none of them may approve it either."""
