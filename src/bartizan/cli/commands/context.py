"""`bartizan context`: what context sources say of principals; and pushes it."""

import argparse
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from bartizan.cli.arguments import as_json
from bartizan.cli.output import printable, say, show_json
from bartizan.cli.remote import called, remote
from bartizan.errors import Invalid, Unavailable

NAME = "context"
HELP = "Show what other systems say of consumers and principals, and how old it is; push it for those that bring it themselves."
EXAMPLES = (
    "bartizan context list",
    "bartizan context show on-call",
    "bartizan context push on-call all.json",
    "bartizan context push on-call --subject acme --set on_call=true",
    "bartizan context push on-call --subject acme --gone",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    what = parser.add_subparsers(metavar="ACTION", required=True)
    listed = what.add_parser("list", help="list the sources: how old what they say is, of how many, and what is wrong")
    listed.set_defaults(action=_list)
    show = what.add_parser("show", help="show what a source says")
    show.add_argument("source", help="the ContextSource")
    show.add_argument("--subject", metavar="NAME", help="of this subject alone: a Consumer, or issuer|subject")
    show.add_argument("--after", default="", metavar="NAME", help="go on behind this subject")
    show.add_argument("--limit", type=int, default=100, metavar="N", help="how many at most (default: 100; at most 1000)")
    show.set_defaults(action=_show)
    push = what.add_parser("push", help="say all that a source has to say, or what it says of one subject")
    push.add_argument("source", help="the ContextSource")
    push.add_argument("file", nargs="?", metavar="FILE", help='the JSON file with {"subjects": {...}}; - for the standard input')
    push.add_argument("--subject", metavar="NAME", help="say it of this subject alone, by --set")
    push.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an attribute, JSON or else a text; may be repeated")
    push.add_argument("--gone", action="store_true", help="with --subject: nothing is said of it any more")
    push.set_defaults(action=_push, wrong=push.error)
    for one in (listed, show, push):
        remote(one)
        as_json(one)


def run(read: argparse.Namespace) -> int:
    """Runs the action."""
    return int(read.action(read))


def _path(source: str, subject: str | None = None) -> str:
    path = f"/v1/context/{quote(source, safe='')}"
    return path if subject is None else f"{path}/subject?{urlencode({'subject': subject})}"


def _list(read: argparse.Namespace) -> int:
    told = called(read, "GET", "/v1/context")
    if read.json:
        show_json(told)
    for one in told if not read.json else ():
        age = "never said at once" if one["age"] is None else f"{one['age']:.0f} s old{'' if one['counts'] else ', stale'}"
        say(f"{one['name']:<24} {one['way']:<5} {one['subjects']} subjects, {age}; counts for {one['max_age']:g} s, then {one['stale']}")
        if one["stale_subjects"]:
            say(f"    nothing counts any more of {one['stale_subjects']}")
        if one["unknown"]:
            more = " ..." if one["unknown"] > len(one["unknown_first"]) else ""
            say(f"    unknown here: {printable(', '.join(one['unknown_first']))}{more}")
        if one["error"]:
            say(f"    {printable(one['error'])}")
    return 0


def _show(read: argparse.Namespace) -> int:
    if read.subject is not None:
        told: Any = called(read, "GET", _path(read.source, read.subject))
        items = [told]
    else:
        told = called(read, "GET", f"{_path(read.source)}?{urlencode({'after': read.after, 'limit': read.limit})}")
        items = told["items"]
    if read.json:
        show_json(told)
    for one in items if not read.json else ():
        _say_subject(one)
    if not read.json and read.subject is None and told["next"] is not None:
        say(f"more: --after {printable(told['next'])}")
    return 0


def _say_subject(one: dict[str, Any]) -> None:
    values = ", ".join(f"{name} = {orjson.dumps(value).decode()}" for name, value in one["attributes"].items()) or "nothing"
    age = f"{one['age']:.0f} s old" if one["age"] is not None else "of unknown age"
    stale, unknown = "" if one["counts"] else ", stale", "" if one["known"] else ", unknown here"
    say(f"{printable(one['subject'])}: {printable(values)} ({age}{stale}{unknown})")


def _push(read: argparse.Namespace) -> int:
    if read.subject is None:
        if read.file is None or read.gone or read.set:
            read.wrong("name a file with all that the source says, or one subject by --subject")
        told = called(read, "PUT", _path(read.source), _content(read.file))
        sentence = f"{read.source} says something of {told['subjects']} subjects"
    elif read.file is not None or read.gone == bool(read.set):
        read.wrong("with --subject give --set or --gone, and no file")
    elif read.gone:
        told = called(read, "DELETE", _path(read.source, read.subject))
        sentence = f"{read.source} says nothing of {printable(read.subject)} any more"
    else:
        told = called(read, "PUT", _path(read.source, read.subject), {"attributes": _values(read.set)})
        sentence = f"{read.source} says {len(told['attributes'])} attributes of {printable(read.subject)}"
        sentence += "" if told["known"] else ", who is unknown here"
    if read.json:
        show_json(told)
    else:
        say(sentence)
    return 0


def _content(name: str) -> Any:
    try:
        return orjson.loads(sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes())
    except OSError as error:
        raise Unavailable(f"{name} can't be read: {error.strerror or error}.") from None
    except orjson.JSONDecodeError as error:
        raise Invalid(f"{name} isn't JSON: {error.msg}, in line {error.lineno}.", code="not-json") from None


def _values(given: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            raise Invalid(f"{text!r} isn't NAME=VALUE.", code="context-form")
        try:
            found[name] = orjson.loads(value)
        except orjson.JSONDecodeError:
            found[name] = value
    return found
