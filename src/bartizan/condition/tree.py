"""A condition as a value: what it reads (terms), what it asks of them (tests), and how the answers combine (nodes).

Every test has three outcomes: true, false, and neither, when something it reads is missing or of the wrong type.
`&&`, `||` and `!` combine them as CEL does (Kleene).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from bartizan.condition.schema import AttributeType

Network = IPv4Network | IPv6Network
Order = Literal["==", "<", "<=", ">", ">="]
Part = Literal["startsWith", "endsWith", "contains", "matches"]


# What conditions read.


@dataclass(frozen=True, slots=True)
class Attribute:
    """`principal.<name>`; or, by its whole name, what a database tells of the caller's address: `source.country`."""

    name: str
    type: AttributeType


@dataclass(frozen=True, slots=True)
class Header:
    """A request header; several of one name count as one value, joined by commas. Pseudo-headers are the method and the scheme."""

    name: str


@dataclass(frozen=True, slots=True)
class Detail:
    """A string that isn't a header or an attribute. A path has no query; a host is in lower case and has no port."""

    name: Literal["path", "host", "query", "certificate"]


@dataclass(frozen=True, slots=True)
class Size:
    """The number of characters of a string."""

    of: "Attribute | Header | Detail"


@dataclass(frozen=True, slots=True)
class BodySize:
    """The body's length as the request declares it."""


@dataclass(frozen=True, slots=True)
class Hour:
    """The hour of the day in a time zone."""

    zone: str


@dataclass(frozen=True, slots=True)
class Elapsed:
    """How many whole seconds ago the moment was that a number attribute tells, in seconds since the epoch."""

    of: Attribute


Text = Attribute | Header | Detail
Number = Attribute | Size | BodySize | Hour | Elapsed


# What they ask.


@dataclass(frozen=True, slots=True)
class Present:
    """`has(of)`: never neither; a value of the wrong type counts as missing."""

    of: Text | BodySize


@dataclass(frozen=True, slots=True)
class Flag:
    """A bool attribute."""

    of: Attribute


@dataclass(frozen=True, slots=True)
class TextIs:
    """A string is one of `values`."""

    of: Text
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextHas:
    """A string starts with, ends with, contains or matches a fixed one."""

    of: Text
    how: Part
    what: str


@dataclass(frozen=True, slots=True)
class TextPair:
    """A comparison or a string function between two strings, at least one of which is read."""

    function: str
    left: Text | str
    right: Text | str


@dataclass(frozen=True, slots=True)
class Member:
    """A list attribute holds `value`."""

    of: Attribute
    value: str


@dataclass(frozen=True, slots=True)
class NumberPair:
    """A comparison between two numbers, the left one read."""

    order: Order
    left: Number
    right: Number | int | float


@dataclass(frozen=True, slots=True)
class Within:
    """The source address lies in one of `networks`."""

    networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """Minutes of the local day from `start` (in) to `end` (out); over midnight if `start` is later."""

    start: int
    end: int
    zone: str


@dataclass(frozen=True, slots=True)
class Weekday:
    """The local weekday is one of `days`; Sunday is 0."""

    days: tuple[int, ...]
    zone: str


@dataclass(frozen=True, slots=True)
class Day:
    """The local date, as the number YYYYMMDD, compared."""

    order: Order
    date: int
    zone: str


@dataclass(frozen=True, slots=True)
class Since:
    """Now is this moment (RFC 3339, UTC) or later."""

    moment: str


@dataclass(frozen=True, slots=True)
class Agent:
    """The user agent matches; never neither: a request without one doesn't match."""

    pattern: str


Test = Present | Flag | TextIs | TextHas | TextPair | Member | NumberPair | Within | Between | Weekday | Day | Since | Agent


# How the answers combine.


@dataclass(frozen=True, slots=True)
class Constant:
    value: bool


@dataclass(frozen=True, slots=True)
class Not:
    of: "Node"


@dataclass(frozen=True, slots=True)
class Group:
    """All of `of` (`every`), or any of them."""

    every: bool
    of: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choose:
    """`test ? yes : no`."""

    test: "Node"
    yes: "Node"
    no: "Node"


@dataclass(frozen=True, slots=True)
class Same:
    """`left == right` of two truths."""

    left: "Node"
    right: "Node"


Node = Constant | Not | Group | Choose | Same | Test


@dataclass(slots=True)
class _Flat:
    every: bool
    parts: dict[Node, None] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        if isinstance(node, Group) and node.every == self.every:
            for part in node.of:
                self.add(part)
        elif node != Constant(self.every):
            self.parts[node] = None


def group(every: bool, nodes: Iterable[Node]) -> Node:
    """All or any of `nodes`, without what changes nothing."""
    flat = _Flat(every)
    for node in nodes:
        flat.add(node)
    if Constant(not every) in flat.parts:
        return Constant(not every)
    parts = tuple(flat.parts)
    return Group(every, parts) if len(parts) > 1 else parts[0] if parts else Constant(every)


def opposite(node: Node) -> Node:
    if isinstance(node, Not):
        return node.of
    return Constant(not node.value) if isinstance(node, Constant) else Not(node)


def same(left: Node, right: Node) -> Node:
    if isinstance(right, Constant):
        return left if right.value else opposite(left)
    return same(right, left) if isinstance(left, Constant) else Same(left, right)


def choose(test: Node, yes: Node, no: Node) -> Node:
    if isinstance(test, Constant):
        return yes if test.value else no
    return Choose(test, yes, no)


def inner(node: Node) -> tuple[Node, ...]:
    """The nodes that `node` combines; none for a test."""
    match node:
        case Not(of):
            return (of,)
        case Group(_, of):
            return of
        case Choose(test, yes, no):
            return (test, yes, no)
        case Same(left, right):
            return (left, right)
    return ()


def weight(node: Node) -> int:
    """How many tests its lowered form holds at most: those that are asked both ways count twice."""
    factor = 2 if isinstance(node, Choose | Same) else 1
    return factor * sum(map(weight, inner(node))) if inner(node) else 1


def levels(node: Node) -> int:
    """How deep its lowered form is nested at most; groups become balanced trees."""
    if not (parts := inner(node)):
        return 8
    own = {Group: len(parts).bit_length(), Not: 0}.get(type(node), 2)
    return own + max(map(levels, parts))


def asked(node: Node) -> Iterator[Test]:
    if parts := inner(node):
        for part in parts:
            yield from asked(part)
    elif not isinstance(node, Constant | Not | Group | Choose | Same):
        yield node


def attributes(node: Node) -> frozenset[str]:
    """The names below `principal` that it reads, and whole those of places."""
    read: set[str] = set()
    for test in asked(node):
        for slot in ("of", "left", "right"):
            term = getattr(test, slot, None)
            term = term.of if isinstance(term, Size | Elapsed) else term
            if isinstance(term, Attribute):
                read.add(term.name)
    return frozenset(read)
