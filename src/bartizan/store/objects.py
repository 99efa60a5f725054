"""Contents as objects named by their hash: what revisions share is kept once, and what was changed afterwards doesn't fit its name.

A revision is a root that names lists that name documents. So an edit of one document of thousands adds three small objects, not a list of
all of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, insert, select

from bartizan.store.database import Tampered
from bartizan.store.model import Content, canonical, sha256
from bartizan.store.tables import OBJECTS

_LISTS = 64
_AT_ONCE = 500
"""How many objects a statement asks for: SQLite's limit was 999 for long."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A content in objects."""

    digest: str
    """The root's name: with it everything is named."""
    root: bytes
    lists: Mapping[str, bytes]
    documents: Mapping[str, bytes]
    files: Mapping[str, bytes]
    held: Mapping[str, frozenset[str]]
    """The documents of each list."""


def tree(content: Content) -> Tree:
    """The content in objects."""
    documents = {sha256(body): body for body in content.resources.values()}
    files = {sha256(body): body for body in content.files.values()}
    sorted_in: dict[str, dict[str, str]] = {}
    for (kind, name), body in content.resources.items():
        key = f"{kind}/{name}"
        sorted_in.setdefault(f"{int(sha256(key.encode())[:8], 16) % _LISTS:02d}", {})[key] = sha256(body)
    texts = {part: canonical(names) for part, names in sorted_in.items()}
    root = canonical(
        {
            "files": {name: sha256(body) for name, body in content.files.items()},
            "lists": {part: sha256(listed) for part, listed in texts.items()},
            "revision": content.revision,
        }
    )
    held = {sha256(texts[part]): frozenset(names.values()) for part, names in sorted_in.items()}
    return Tree(sha256(root), root, {sha256(listed): listed for listed in texts.values()}, documents, files, held)


def write(connection: Connection, made: Tree) -> None:
    """Writes what isn't there yet. A list that is there has its documents there: they came together, and nothing is taken away."""
    if not _missing(connection, [made.digest]):
        return
    lists = _missing(connection, made.lists)
    documents = _missing(connection, {name for one in lists for name in made.held[one]})
    files = _missing(connection, made.files)
    new = {made.digest: made.root, **{one: made.lists[one] for one in lists}}
    new |= {one: made.documents[one] for one in documents} | {one: made.files[one] for one in files}
    connection.execute(insert(OBJECTS), [{"hash": name, "body": body} for name, body in new.items()])


def content(connection: Connection, digest: str) -> Content:
    """The content of this digest, each of its objects held against its name."""
    root = orjson.loads(_read(connection, [digest])[digest])
    listed: dict[str, str] = {}
    for body in _read(connection, root["lists"].values()).values():
        listed |= orjson.loads(body)
    bodies = _read(connection, {*listed.values(), *root["files"].values()})
    resources: dict[tuple[str, str], bytes] = {}
    for key in sorted(listed):
        kind, _, name = key.partition("/")
        resources[kind, name] = bodies[listed[key]]
    return Content(root["revision"], resources, {name: bodies[one] for name, one in root["files"].items()})


def findings(connection: Connection, digests: Iterable[str]) -> Iterator[str]:
    """All objects that aren't what their name says, and those that these contents name and that aren't there."""
    sound: set[str] = set()
    for name, body in connection.execution_options(yield_per=500).execute(select(OBJECTS.c.hash, OBJECTS.c.body)):
        if _is(name, body):
            sound.add(name)
        else:
            yield f"object {str(name)[:16]} was changed after it was written"
    lists: set[str] = set()
    named = set(digests)
    for digest in sorted(named & sound):
        root = orjson.loads(_read(connection, [digest])[digest])
        lists.update(root["lists"].values())
        named.update(root["files"].values())
    for some in _batches(sorted(lists & sound)):
        for body in _read(connection, some).values():
            named.update(orjson.loads(body).values())
    there = set(connection.scalars(select(OBJECTS.c.hash)))
    yield from (f"object {name[:16]} is gone" for name in sorted((named | lists) - there))


def _missing(connection: Connection, names: Iterable[str]) -> list[str]:
    wanted = sorted(set(names))
    there: set[str] = set()
    for some in _batches(wanted):
        there.update(connection.scalars(select(OBJECTS.c.hash).where(OBJECTS.c.hash.in_(some))))
    return [one for one in wanted if one not in there]


def _read(connection: Connection, names: Iterable[str]) -> dict[str, bytes]:
    wanted = sorted(set(names))
    found: dict[str, bytes] = {}
    for some in _batches(wanted):
        for name, body in connection.execute(select(OBJECTS.c.hash, OBJECTS.c.body).where(OBJECTS.c.hash.in_(some))):
            if not _is(name, body):
                raise Tampered(f"The object {name[:16]} of the store was changed after it was written. Restore the store from a backup.")
            found[name] = body
    if lost := [name for name in wanted if name not in found]:
        raise Tampered(f"The object {lost[0][:16]} of the store is gone. Restore the store from a backup.")
    return found


def _is(name: object, body: object) -> bool:
    """Whether these are bytes of this name. SQLite may hold anything instead."""
    return isinstance(body, bytes) and sha256(body) == name


def _batches(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]
