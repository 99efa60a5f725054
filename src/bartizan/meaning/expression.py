"""Reads CEL as it is compiled for Envoy into formulas: &&, || and ! as such, and what stands between them as questions."""

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping

from cel_expr_python import cel  # type: ignore[import-untyped]  # has stubs, no py.typed
from google.protobuf.message import Message

from bartizan.condition.syntax import Ast, name, tree_of
from bartizan.envoy.names import PRINCIPAL
from bartizan.meaning.formula import Constant, Formula, OfCel, Unread, every, holds, negation, some
from bartizan.meaning.values import evaluated, expression
from bartizan.model.places import is_place

_HEADERS = name("request.headers")
_METADATA = name("metadata.filter_metadata")
_METHOD = ":method"
_ALWAYS = (_METHOD, ":path", ":authority", ":scheme")
"""Headers that every request has."""
_TYPES = frozenset({"string", "double", "int", "bool", "bytes", "list", "map", "uint", "null_type"})
_OTHER = "?"
_INFIX = ("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_+_", "_-_", "_*_", "_/_", "_%_")


def read_cel(expr: Message) -> Formula:
    """The formula of a `cel.expr.Expr`: it matches where it is true, and where it errs it doesn't."""
    tree = tree_of(expr)
    if any(part.kind == "other" for part in tree.walk()):
        return Unread(hashlib.sha256(expr.SerializeToString(deterministic=True)).hexdigest()[:16])
    return holds(_formula(tree))


def _formula(tree: Ast) -> Formula:
    if tree.kind == "call" and tree.target is None:
        if tree.name == "_&&_":
            return every(map(_formula, tree.args))
        if tree.name == "_||_":
            return some(map(_formula, tree.args))
        if tree.name == "!_":
            return negation(_formula(tree.args[0]))
    if tree.kind == "const" and isinstance(tree.value, bool):
        return Constant("true" if tree.value else "false")
    asked = frozenset(_asked(tree))
    keys = tuple(sorted(one.removeprefix("principal.") for one in asked if one.startswith("principal.")))
    return OfCel(written(tree), keys, _METHOD in asked, _OTHER not in asked, tree)


def _asked(tree: Ast) -> Iterator[str]:
    """What it reads: `principal.<key>`, the method, or `?` for anything else."""
    if tree.kind == "call" and tree.target is None and tree.name in {"_[_]", "@in"}:
        holder, key = (tree.args[0], tree.args[1]) if tree.name == "_[_]" else (tree.args[1], tree.args[0])
        found = _held(holder, key, tree.name == "@in")
        if found is not None:
            yield from found
            return
    if tree.kind == "name":
        yield from () if tree.name in _TYPES else (_OTHER,)
    elif tree.kind in {"select", "has", "other"}:
        yield _OTHER
    else:
        for part in tree.parts:
            yield from _asked(part)


def _held(holder: Ast, key: Ast, only_whether: bool) -> tuple[str, ...] | None:
    """What a map that we know holds under this key; None for maps that we don't know."""
    if key.kind != "const" or not isinstance(key.value, str):
        return None
    if _plain(holder) == _HEADERS:
        if only_whether and key.value in _ALWAYS:
            return ()
        return (_METHOD,) if key.value == _METHOD else (_OTHER,)
    if only_whether and _plain(holder) == _METADATA:
        return () if key.value == PRINCIPAL else (_OTHER,)
    if holder.kind == "call" and holder.name == "_[_]" and _plain(holder.args[0]) == _METADATA and holder.args[1].value == PRINCIPAL:
        return (f"principal.{key.value}", *((_OTHER,) if is_place(key.value) else ()))
    return None


def _plain(tree: Ast) -> Ast | None:
    """A dotted name without the places of its tokens."""
    if tree.kind == "name":
        return name(tree.name)
    inner = _plain(tree.target) if tree.kind == "select" and tree.target is not None else None
    return None if inner is None else Ast("select", name=tree.name, target=inner)


def written(tree: Ast) -> str:
    """The tree as CEL."""
    match tree.kind:
        case "const":
            return json.dumps(tree.value, ensure_ascii=False) if not isinstance(tree.value, bytes) else repr(tree.value)
        case "name":
            return tree.name
        case "list":
            return f"[{', '.join(map(written, tree.args))}]"
        case "select" | "has":
            target = f"{written(tree.target)}.{tree.name}" if tree.target is not None else tree.name
            return f"has({target})" if tree.kind == "has" else target
        case "call":
            return _written_call(tree)
    return f"<{tree.name}>"


def _written_call(tree: Ast) -> str:
    args = [written(one) for one in tree.args]
    if tree.target is not None:
        return f"{written(tree.target)}.{tree.name}({', '.join(args)})"
    if tree.name == "_[_]":
        return f"{args[0]}[{args[1]}]"
    if tree.name in _INFIX:
        return f"({args[0]} {tree.name.strip('_')} {args[1]})"
    return f"({args[0]} in {args[1]})" if tree.name == "@in" else f"{tree.name}({', '.join(args)})"


@functools.lru_cache(maxsize=20_000)
def _compiled(question: OfCel) -> cel.Expression:
    return expression(question.tree)


def answered_cel(question: OfCel, principal: Mapping[str, str | float], method: str) -> Constant | None:
    """The answer to a closed question, where all that it asks for is known. None if it is no truth."""
    headers = {**dict.fromkeys(_ALWAYS, ""), _METHOD: method}
    return evaluated(_compiled(question), {"metadata": {"filter_metadata": {PRINCIPAL: dict(principal)}}, "request": {"headers": headers}})
