"""What `bartizan log` and `bartizan dump REVISION` print."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import orjson

from bartizan.cli.kept import moment, opened
from bartizan.cli.output import painted, printable, say, show_json
from bartizan.errors import NotFound
from bartizan.lib.yaml import written
from bartizan.store import Commit, Content
from bartizan.store.model import sha256


def log(read: argparse.Namespace) -> int:
    """Lists commits."""
    with opened(read) as store:
        found = store.revisions.commits(read.team, read.before, read.limit)
    if read.json:
        show_json([told(one) for one in found])
        return 0
    for one in found:
        said = printable(one.message)
        say(f"{one.number:>5}  {painted(one.revision, 'bold')}  {moment(one.time_ms)}  {printable(one.author)}  {one.door}  {said}")
        for sentence in one.loosens:
            say(f"       {painted('loosens: ' + printable(sentence), 'yellow')}")
    return 0


def told(commit: Commit) -> dict[str, Any]:
    """A commit as JSON."""
    return {
        "number": commit.number,
        "team": commit.team,
        "revision": commit.revision,
        "digest": commit.digest,
        "parent": commit.parent,
        "author": commit.author,
        "message": commit.message,
        "time": commit.time,
        "door": commit.door,
        "loosens": list(commit.loosens),
        "signer": commit.signer,
        "signature": commit.signature.hex(),
    }


def dump(read: argparse.Namespace) -> int:
    """Prints what a commit holds."""
    with opened(read) as store:
        commit = store.revisions.find(read.revision, read.team)
        content = store.revisions.content(commit)
    if read.file is None:
        sys.stdout.write(_heading(commit, content) + written(_documents(content)))
        return 0
    if read.file not in content.files:
        raise NotFound(f"Revision {commit.revision} holds no file {read.file!r}.", code="file-missing")
    sys.stdout.buffer.write(content.files[read.file])
    return 0


def _heading(commit: Commit, content: Content) -> str:
    told = [f"commit {commit.number}, revision {commit.revision}", f"{moment(commit.time_ms)} by {commit.author}: {commit.message}"]
    told += [f"file {name}: {len(body)} bytes, SHA-256 {sha256(body)[:16]}" for name, body in sorted(content.files.items())]
    return "".join(f"# {printable(line)}\n" for line in told)


def _documents(content: Content) -> Iterator[dict[str, Any]]:
    """The gateway, then APIs, then policies; what a document is and what it is called come first in it."""
    first = ("Gateway", "Api")
    order = sorted(content.resources, key=lambda key: (first.index(key[0]) if key[0] in first else len(first), key))
    for key in order:
        found = orjson.loads(content.resources[key])
        yield {**{name: found[name] for name in ("kind", "name") if name in found}, **found}
