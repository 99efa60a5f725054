"""What `bartizan log` and `bartizan dump REVISION` print."""

import argparse
import base64
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from bartizan.cli.kept import moment, opened
from bartizan.cli.output import painted, printable, say, show_json
from bartizan.cli.remote import called
from bartizan.errors import NotFound
from bartizan.lib.yaml import written
from bartizan.model.snapshot import Key
from bartizan.store import Commit
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


@dataclass(frozen=True, slots=True)
class _Whole:
    """A commit and what it holds, wherever it is kept."""

    number: int
    revision: str
    time: float
    author: str
    message: str
    documents: Mapping[Key, Any]
    files: Mapping[str, bytes]


def dump(read: argparse.Namespace) -> int:
    """Prints what a commit holds."""
    found = _here(read) if read.server is None else _there(read)
    if read.file is None:
        sys.stdout.write(_heading(found) + written(_documents(found.documents)))
        return 0
    if read.file not in found.files:
        raise NotFound(f"Revision {found.revision} holds no file {read.file!r}.", code="file-missing")
    sys.stdout.buffer.write(found.files[read.file])
    return 0


def _here(read: argparse.Namespace) -> _Whole:
    with opened(read) as store:
        commit = store.revisions.find(read.revision, read.team)
        content = store.revisions.content(commit)
    documents = {key: orjson.loads(body) for key, body in content.resources.items()}
    return _Whole(commit.number, commit.revision, commit.time, commit.author, commit.message, documents, content.files)


def _there(read: argparse.Namespace) -> _Whole:
    told = called(read, "GET", f"/v1/revisions/{quote(read.revision, safe='')}")
    commit = told["commit"]
    documents = {(str(one["kind"]), str(one["name"])): one for one in told["documents"]}
    files = {name: base64.b64decode(body) for name, body in told["files"].items()}
    return _Whole(commit["number"], commit["revision"], commit["time"], commit["author"], commit["message"], documents, files)


def _heading(found: _Whole) -> str:
    told = [f"commit {found.number}, revision {found.revision}", f"{moment(round(found.time * 1000))} by {found.author}: {found.message}"]
    told += [f"file {name}: {len(body)} bytes, SHA-256 {sha256(body)[:16]}" for name, body in sorted(found.files.items())]
    return "".join(f"# {printable(line)}\n" for line in told)


def _documents(found: Mapping[Key, Any]) -> Iterator[dict[str, Any]]:
    """The gateway, then APIs, then policies; what a document is and what it is called come first in it."""
    first = ("Gateway", "Api")
    for key in sorted(found, key=lambda key: (first.index(key[0]) if key[0] in first else len(first), key)):
        one = found[key]
        yield {**{name: one[name] for name in ("kind", "name") if name in one}, **one}
