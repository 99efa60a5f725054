"""What is left of a formula when what it says itself is filled in: where a text must be this, other questions about it have answers."""

from bartizan.meaning.formula import (
    FALSE,
    TRUE,
    All,
    Any,
    Atom,
    Formula,
    Holds,
    OfHeader,
    OfPrincipal,
    StringTest,
    every,
    filled,
    holds,
    some,
)
from bartizan.meaning.values import answered

_Slot = tuple[str, str]


def settled(of: Formula) -> Formula:
    """The same, simpler: what can't hold together is false."""
    while True:
        match of:
            case All(parts):
                made = _together(every(map(settled, parts)))
            case Any(parts):
                made = some(map(settled, parts))
            case Holds(inner):
                made = holds(settled(inner))
            case _:
                return of
        if made == of:
            return of
        of = made


def _together(of: Formula) -> Formula:
    if not isinstance(of, All):
        return of
    fixed: dict[_Slot, str] = {}
    for part in of.of:
        said = _said(part)
        if said is not None and fixed.setdefault(*said) != said[1]:
            return FALSE
    if not fixed:
        return of

    def answer(atom: Atom) -> Formula:
        if isinstance(atom, OfPrincipal | OfHeader):
            text = fixed.get(_name(atom))
            found = None if text is None else answered(atom.test, text)
            return atom if found is None else TRUE if found else FALSE
        return atom

    return every(part if _said(part) is not None else filled(part, answer) for part in of.of)


def _name(atom: OfPrincipal | OfHeader) -> _Slot:
    return ("principal", atom.key) if isinstance(atom, OfPrincipal) else ("header", atom.name)


def _said(part: Formula) -> tuple[_Slot, str] | None:
    """What this says exactly, if it says of something what it is."""
    if isinstance(part, OfPrincipal | OfHeader) and isinstance(part.test, StringTest):
        return (_name(part), part.test.text) if part.test.kind == "exact" and not part.test.ignore_case else None
    return None
