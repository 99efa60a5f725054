"""Whether one thing holds whenever another does, as far as their forms tell. It errs on one side: what isn't seen to follow doesn't."""

from collections.abc import Iterable
from ipaddress import ip_network

from bartizan.meaning.formula import (
    All,
    Any,
    Atom,
    Formula,
    Holds,
    Not,
    NumberTest,
    OfAddress,
    OfHeader,
    OfPrincipal,
    PresentTest,
    StringTest,
    atoms,
    every,
)
from bartizan.meaning.values import answered


def lean(of: Formula) -> Formula:
    """The same without parts that others of them imply."""
    if not isinstance(of, All):
        return of
    kept = sorted(of.of, key=repr)
    for part in list(kept):
        if any(implies(other, part) for other in kept if other is not part):
            kept.remove(part)
    return every(kept)


def implies(one: Formula, other: Formula) -> bool:
    """Whether `other` holds wherever `one` does."""
    if one == other:
        return True
    if isinstance(one, Any):
        return all(implies(part, other) for part in one.of)
    if isinstance(other, All):
        return all(implies(one, part) for part in other.of)
    if isinstance(other, Any) and any(implies(one, part) for part in other.of):
        return True
    if isinstance(one, All):
        return any(implies(part, other) for part in one.of)
    return _simple(one, other)


def _simple(one: Formula, other: Formula) -> bool:
    match one, other:
        case Holds(inner), Holds(outer):
            return implies(inner, outer)
        case Not(inner), Not(outer) if all(isinstance(atom, _TWO_VALUED) for atom in atoms(inner) | atoms(outer)):
            return implies(outer, inner)  # an expression of CEL may be neither true nor false
        case ((OfPrincipal() | OfHeader() | OfAddress()), (OfPrincipal() | OfHeader() | OfAddress())):
            return _atoms(one, other)
    return False


_TWO_VALUED = (OfPrincipal, OfHeader, OfAddress)


def _atoms(one: Atom, other: Atom) -> bool:
    match one, other:
        case OfPrincipal(key, test), OfPrincipal(of, wanted) if key == of:
            return _tests(test, wanted)
        case OfHeader(name, test), OfHeader(of, wanted) if name == of:
            return _tests(test, wanted)
        case OfAddress(networks), OfAddress(wider):
            return _within(networks, wider)
    return False


def _tests(one: StringTest | NumberTest | PresentTest, other: StringTest | NumberTest | PresentTest) -> bool:
    match one, other:
        case _, PresentTest():
            return not isinstance(one, PresentTest)
        case StringTest("exact", text, False), StringTest():
            return answered(other, text) is True
        case StringTest("prefix", text, False), StringTest("prefix", begin, False):
            return text.startswith(begin)
        case NumberTest(start, None), NumberTest():
            return answered(other, start) is True
        case NumberTest(start, end), NumberTest(low, high) if end is not None and high is not None:
            return low <= start and end <= high
    return False


def _within(networks: Iterable[str], wider: Iterable[str]) -> bool:
    held = [ip_network(text) for text in wider]
    return all(any(one.version == outer.version and one.subnet_of(outer) for outer in held) for one in map(ip_network, networks))  # type: ignore[arg-type]
