"""A text becomes a condition: cel-cpp parses it, this checks every name, type and literal, and collects all mistakes."""

from collections.abc import Callable, Mapping

from bartizan.condition import compare
from bartizan.condition.expression import expression
from bartizan.condition.mistake import ConditionError, Refused
from bartizan.condition.predicate import needs_cel
from bartizan.condition.program import fits_cel
from bartizan.condition.schema import Schema, Sources
from bartizan.condition.syntax import Ast, parsed
from bartizan.condition.terms import (
    TEXT_FUNCTIONS,
    Scope,
    Special,
    is_text,
    kind,
    literal_text,
    term,
    unsupported,
    wrong_type,
    zone_name,
)
from bartizan.condition.tree import (
    Attribute,
    Between,
    BodySize,
    Constant,
    Detail,
    Flag,
    Node,
    Present,
    Since,
    choose,
    group,
    inner,
    levels,
    opposite,
    same,
    weight,
)
from bartizan.condition.zones import minutes, moment

_MOST_TESTS = 200
_DEEPEST = 24
"""Each level nests a message by two; with `choice` around it, a condition stays below Envoy's limit of 100."""
_ALWAYS_THERE = (Detail("path"), Detail("host"), Detail("query"))
Reader = Callable[[Ast, Scope], Node]


def node(text: str, schema: Schema, whole_in_cel: bool) -> Node:
    """What `text` says. Raises ConditionError with all its mistakes. `whole_in_cel`: it must be expressible as one CEL expression."""
    scope = Scope(schema.names(), schema.told(), whole_in_cel)
    try:
        found = _truth(parsed(text), scope)
        if not scope.mistakes:
            _check_size(found)
    except Refused as refused:
        scope.mistakes.append(refused)
    if scope.mistakes:
        raise ConditionError(each.mistake(text) for each in sorted(scope.mistakes, key=lambda each: each.offset))
    return found


def _check_size(found: Node) -> None:
    if weight(found) > _MOST_TESTS:
        raise Refused("too-complex", 0, f"the condition makes more than {_MOST_TESTS} tests", "split it into several policies")
    if levels(found) > _DEEPEST:
        raise Refused("too-complex", 0, "the condition is nested too deeply", "split it into several policies")


def _truth(ast: Ast, scope: Scope) -> Node:
    """What a part that must be true or false says; its mistakes are collected, and reading goes on beside it."""
    try:
        found = _read(ast, scope)
        _check_patterns(found, ast, scope)
    except Refused as refused:
        scope.mistakes.append(refused)
        return Constant(False)
    return found


def _check_patterns(found: Node, ast: Ast, scope: Scope) -> None:
    """Whether Envoy's CEL takes the patterns of a test, if CEL has to say it."""
    if isinstance(found, Constant) or inner(found) or not (scope.whole_in_cel or needs_cel(found)):
        return
    try:
        tree = expression(found, True, Sources())
    except ValueError as error:
        unsupported(ast.start, f"{error} can't be used here", "use another network, or a policy of another kind")
    for part in tree.walk():
        if part.name == "matches" and not fits_cel(str(part.args[0].value)):
            raise Refused(
                "too-complex", ast.start, "the pattern or text is too large", "shorten it; classes such as [^/]+ are cheaper than {36}"
            )


def _read(ast: Ast, scope: Scope) -> Node:
    if ast.kind == "const" and isinstance(ast.value, bool):
        return Constant(ast.value)
    if ast.kind == "has":
        return _present(ast, scope)
    if ast.kind == "call" and ast.name in _READERS:
        return _READERS[ast.name](ast, scope)
    found = term(ast, scope)
    if isinstance(found, Attribute) and found.type == "bool":
        return Flag(found)
    wrong_type(ast.start, f"this is {kind(found)}, where something true or false must stand", 'compare it, as in principal.plan == "gold"')


def _present(ast: Ast, scope: Scope) -> Node:
    of = term(Ast("select", name=ast.name, target=ast.target, at=ast.at), scope)
    if isinstance(of, Attribute | BodySize) or (is_text(of) and of not in _ALWAYS_THERE):
        return Present(of)
    unsupported(ast.start, "this is always there", "leave has() away, or ask for something that may be missing")


def _and(ast: Ast, scope: Scope) -> Node:
    return group(True, [_truth(each, scope) for each in ast.args])


def _or(ast: Ast, scope: Scope) -> Node:
    return group(False, [_truth(each, scope) for each in ast.args])


def _not(ast: Ast, scope: Scope) -> Node:
    return opposite(_truth(ast.args[0], scope))


def _choice(ast: Ast, scope: Scope) -> Node:
    test, yes, no = (_truth(each, scope) for each in ast.args)
    return choose(test, yes, no)


def _equality(ast: Ast, scope: Scope) -> Node:
    """Of two truths, or of two values."""
    if not any(_is_truth(each, scope) for each in ast.args):
        return compare.comparison(ast, scope)
    left, right = (_truth(each, scope) for each in ast.args)
    return same(left, right) if ast.name == "_==_" else opposite(same(left, right))


def _is_truth(ast: Ast, scope: Scope) -> bool:
    if ast.kind in ("const", "has"):
        return ast.kind == "has" or isinstance(ast.value, bool)
    if ast.kind == "call":
        return any(_is_truth(each, scope) for each in ast.args[1:]) if ast.name == "_?_:_" else ast.name in _READERS
    if ast.kind != "select" or ast.target is None or ast.target.kind != "name":
        return False
    of_principal = ast.target.name == "principal" and scope.attributes.get(ast.name) == "bool"
    return of_principal or scope.places.get(f"{ast.target.name}.{ast.name}") == "bool"


def _within(ast: Ast, scope: Scope) -> Node:
    if ast.target is None or len(ast.args) != 1 or term(ast.target, scope) != Special("source.ip"):
        wrong_type(ast.start, "within() is asked of source.ip, with a network or a list of them", 'write source.ip.within("10.0.0.0/8")')
    networks = ast.args[0]
    return compare.within(list(networks.args) if networks.kind == "list" and networks.args else [networks])


def _of_now(ast: Ast, scope: Scope, takes: int, example: str) -> tuple[Ast, ...]:
    if ast.target is None or term(ast.target, scope) != Special("now") or len(ast.args) != takes:
        wrong_type(ast.start, f"{ast.name}() is asked of now, with {takes} string{'s' * (takes > 1)}", f"write now.{example}")
    return ast.args


def _between(ast: Ast, scope: Scope) -> Node:
    first, last, zone = _of_now(ast, scope, 3, 'between("08:00", "18:00", "Europe/Berlin")')
    start, end = _minutes(first), _minutes(last)
    if start in (end, 1440):
        raise Refused("bad-time", first.at, "no time lies between these", 'write two different times, such as "08:00" and "18:00"')
    return Between(start, end, zone_name(zone))


def _minutes(ast: Ast) -> int:
    text = literal_text(ast, "between()")
    try:
        return minutes(text)
    except ValueError:
        raise Refused("bad-time", ast.start, f'"{text}" is not a time of day', 'write it as "08:00"') from None


def _moment(ast: Ast, scope: Scope) -> Node:
    """`after` means at or after, so that it is exactly what `before` isn't."""
    (argument,) = _of_now(ast, scope, 1, f'{ast.name}("2030-01-31T00:00:00Z")')
    text = literal_text(argument, f"{ast.name}()")
    try:
        since = Since(moment(text))
    except ValueError:
        hint = 'write it as "2030-01-31T00:00:00Z" or "2030-01-31T00:00:00+01:00"'
        raise Refused("bad-time", argument.start, f'"{text}" is not a moment', hint) from None
    return since if ast.name == "after" else opposite(since)


_READERS: Mapping[str, Reader] = {
    "_&&_": _and,
    "_||_": _or,
    "!_": _not,
    "_?_:_": _choice,
    "_==_": _equality,
    "_!=_": _equality,
    "_<_": compare.comparison,
    "_<=_": compare.comparison,
    "_>_": compare.comparison,
    "_>=_": compare.comparison,
    "@in": compare.membership,
    **dict.fromkeys(TEXT_FUNCTIONS, compare.text_function),
    "within": _within,
    "between": _between,
    "after": _moment,
    "before": _moment,
}
