"""Writers that are killed: `python -m tests.unit.store.lives FOLDER LIVES URL ...`.

Each store in turn is given to a child that commits, appends and notes as fast as it can, until it is killed at a random point. What was
acknowledged to it stands in FOLDER/acknowledged.

Children are forked, so that a life costs milliseconds and opening the store is among what is cut short.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import psycopg  # noqa: F401 - so that no life is spent with importing it

from bartizan.errors import Unavailable
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Change, Content, Event, canonical, open_store


def seal(folder: Path) -> Signatures:
    """Whose signatures count."""
    return Signatures(SigningKey(folder / "signing.key", Envelope(bytes(32))))


def live(url: str, folder: Path, store_id: int) -> None:
    """Writes until the end."""
    signatures = seal(folder)
    acknowledged = os.open(folder / "acknowledged", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def tell(*told: object) -> None:
        os.write(acknowledged, (" ".join(map(str, (store_id, *told))) + "\n").encode())

    store = open_store(url, signatures, head=folder / f"head{store_id}")
    head = store.revisions.head()
    note = store.notes.get("life")
    for turn in range(1_000_000):
        body = canonical({"life": os.getpid(), "turn": turn, "filling": "x" * random.randrange(20_000)})
        content = Content(f"{random.getrandbits(64):016x}", {("Api", "a"): body, ("Api", "b"): b"{}"}, {"list": os.urandom(100)})
        head = store.revisions.commit(content, Change(head.number if head else None, "crash", str(turn), "files"))
        tell("commit", head.number, head.revision)
        entry = store.audit.append(Event("crash", "commit", head.revision, "local", "done"))
        tell("audit", entry.number, entry.hash)
        note = store.notes.put("life", head.number, note.version if note else 0)
        tell("note", note.version, note.value)


def _let_live(acknowledged: Path, lines: int) -> None:
    """Until so much more was acknowledged, and then some moments: so that a slow machine kills at the same points as a fast one."""
    began, ends = acknowledged.stat().st_size, time.monotonic() + 30
    while acknowledged.read_bytes()[began:].count(b"\n") < lines and time.monotonic() < ends:
        time.sleep(0.001)
    time.sleep(random.uniform(0, 0.015))


def main() -> None:
    """Lives, one after the other."""
    folder, lives, urls = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    seal(folder)
    (folder / "acknowledged").touch()
    for i in range(lives):
        child = os.fork()
        if child == 0:
            try:
                live(urls[i % len(urls)], folder, i % len(urls))
            except Unavailable as error:
                print(error, file=sys.stderr)
            os._exit(1)
        _let_live(folder / "acknowledged", random.choice((0, 0, 1, 2, 3, 5, 8)))
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(ended):
            sys.exit(f"life {i} ended by itself: {ended}")


if __name__ == "__main__":
    main()
