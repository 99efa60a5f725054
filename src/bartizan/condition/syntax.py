"""CEL's syntax as a tree of ours: cel-cpp parses a text into it, and Envoy's messages are made from it."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cel_expr_python import cel  # type: ignore[import-untyped]  # has stubs, no py.typed
from google.protobuf import any_pb2
from google.protobuf.message import Message

from bartizan.condition.mistake import Refused
from bartizan.envoy import message, message_type

Value = bool | int | float | str | bytes | None
Kind = str

_LONGEST = 8192
_MOST_NODES = 400
_ENV = cel.NewEnv()
_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")


@dataclass(frozen=True, slots=True)
class Ast:
    """A part of a CEL expression: `kind` is const, name, select, has, call, list or other."""

    kind: Kind
    name: str = ""
    "The identifier, the selected field or the called function (operators as CEL names them, `_&&_`)."
    value: Value = None
    target: "Ast | None" = None
    "What a field is selected from, or the receiver of a call."
    args: tuple["Ast", ...] = ()
    at: int = 0
    "Where its own token stands in the text."

    @property
    def parts(self) -> tuple["Ast", ...]:
        return self.args if self.target is None else (self.target, *self.args)

    @property
    def start(self) -> int:
        """Where its leftmost token stands in the text."""
        return min((self.at, *(part.start for part in self.parts)))

    def walk(self) -> Iterator["Ast"]:
        yield self
        for part in self.parts:
            yield from part.walk()


def parsed(text: str) -> Ast:
    """The tree of a text. Raises Refused with the place of the first thing that isn't CEL."""
    if len(text) > _LONGEST:
        raise Refused("too-complex", 0, f"the condition is longer than {_LONGEST} characters", "split it into several policies")
    try:
        text.encode()
        serialized = _ENV.compile(text, disable_check=True).serialize()
    except UnicodeEncodeError as error:
        raise Refused("syntax", error.start, "half a character stands here", "leave it away") from None
    except RuntimeError as error:
        raise _refused(text, str(error)) from None
    result = message("cel.expr.ParsedExpr")
    result.ParseFromString(any_pb2.Any.FromString(serialized).value)
    tree = _tree(result.expr, result.source_info.positions)
    if sum(1 for _ in tree.walk()) > _MOST_NODES:
        raise Refused("too-complex", 0, f"the condition has more than {_MOST_NODES} parts", "split it into several policies")
    return tree


def tree_of(expr: Message) -> Ast:
    """The tree of an expression that is a message already."""
    return _tree(expr, {})


def _refused(text: str, error: str) -> Refused:
    if "recursion limit" in error:
        return Refused("too-complex", 0, "the condition is nested too deeply", "split it into several policies")
    found = _ERROR.search(error)
    if not found:
        return Refused("syntax", 0, "this can't be read as CEL", "remove characters that aren't text")
    line, column, detail = int(found[1]), int(found[2]), found[3].removesuffix(" [INVALID_ARGUMENT]")
    offset = sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column - 1
    if "has() argument" in detail:
        return Refused("syntax", offset, "has() takes a name such as principal.plan", 'for a header write "name" in request.headers')
    plain = re.sub(r" expecting .*", "", detail.removeprefix("Syntax error: ")).replace("'<EOF>'", "the end")
    return Refused("syntax", offset, f"this isn't CEL: {plain}", 'an example: principal.plan == "gold" && request.method == "GET"')


def _tree(expr: Message, positions: dict[int, int]) -> Ast:
    kind = expr.WhichOneof("expr_kind") or "const_expr"
    body = getattr(expr, kind)
    at = positions.get(getattr(expr, "id"), 0)  # noqa: B009 (Message declares no fields)
    if kind == "const_expr":
        which = body.WhichOneof("constant_kind")
        return Ast("const", name=which, value=None if which == "null_value" else getattr(body, which), at=at)
    if kind == "ident_expr":
        return Ast("name", name=body.name, at=at)
    if kind == "select_expr":
        made = Ast("select", name=body.field, target=_tree(body.operand, positions), at=at)
        return replace(made, kind="has", at=at - len("has")) if body.test_only else made
    if kind == "call_expr":
        target = _tree(body.target, positions) if body.HasField("target") else None
        at -= len(body.function) if body.function.isidentifier() and at else 0  # cel-cpp tells where the parenthesis stands
        return Ast("call", name=body.function, target=target, args=tuple(_tree(each, positions) for each in body.args), at=at)
    if kind == "list_expr":
        return Ast("list", args=tuple(_tree(each, positions) for each in body.elements), at=at)
    return Ast("other", name=kind.removesuffix("_expr"), at=at)


def const(value: Value) -> Ast:
    return Ast("const", value=value)


def name(text: str) -> Ast:
    """A name, with dots where fields are selected."""
    first, *fields = text.split(".")
    tree = Ast("name", name=first)
    for field in fields:
        tree = Ast("select", name=field, target=tree)
    return tree


def call(function: str, *args: Ast) -> Ast:
    return Ast("call", name=function, args=args)


def method(target: Ast, function: str, *args: Ast) -> Ast:
    return Ast("call", name=function, target=target, args=args)


def has(target: str) -> Ast:
    holder, field = target.rsplit(".", 1)
    return Ast("has", name=field, target=name(holder))


def index(target: Ast, key: str) -> Ast:
    return call("_[_]", target, const(key))


def listing(values: Sequence[Value]) -> Ast:
    return Ast("list", args=tuple(const(value) for value in values))


def negation(of: Ast) -> Ast:
    return call("!_", of)


def joined(operator: str, parts: Sequence[Ast]) -> Ast:
    """`parts` under `&&` or `||`, as a balanced tree: messages may not be nested deeper than 100."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return call(operator, joined(operator, parts[:half]), joined(operator, parts[half:]))


def emitted(tree: Ast, type_name: str = "cel.expr.Expr") -> Message:
    """The message that says `tree`; `cel.expr.Expr` and `google.api.expr.v1alpha1.Expr` look alike."""
    return message_type(type_name)(**_fields(tree, itertools.count(1)))


def depth(tree: Ast) -> int:
    """How deep the message of a tree is nested."""
    return 2 + max((depth(part) for part in tree.parts), default=0)


def _fields(tree: Ast, ids: "itertools.count[int]") -> dict[str, object]:
    inner = [_fields(part, ids) for part in tree.args]
    body: dict[str, object] = {}
    if tree.kind == "const":
        body["const_expr"] = _constant(tree.value)
    elif tree.kind == "name":
        body["ident_expr"] = {"name": tree.name}
    elif tree.kind == "list":
        body["list_expr"] = {"elements": inner}
    elif tree.kind == "call":
        body["call_expr"] = {"function": tree.name, "args": inner}
        if tree.target is not None:
            body["call_expr"] = {"function": tree.name, "args": inner, "target": _fields(tree.target, ids)}
    elif tree.target is not None:
        body["select_expr"] = {"operand": _fields(tree.target, ids), "field": tree.name, "test_only": tree.kind == "has"}
    return {"id": next(ids), **body}


def _constant(value: Value) -> dict[str, Value]:
    kinds = {bool: "bool_value", int: "int64_value", float: "double_value", str: "string_value", bytes: "bytes_value"}
    return {kinds[type(value)]: value}
