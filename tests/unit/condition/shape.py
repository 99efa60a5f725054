"""Predicates and CEL trees as short texts, so that a table of them can be read."""

import json

from google.protobuf.message import Message

from bartizan.condition.syntax import Ast
from bartizan.envoy import to_dict


def shape(predicate: Message) -> str:
    return _shape(to_dict(predicate))


def _shape(one: dict) -> str:
    if "not_matcher" in one:
        return f"not({_shape(one['not_matcher'])})"
    for kind in ("and", "or"):
        if f"{kind}_matcher" in one:
            return f"{kind}({', '.join(map(_shape, one[f'{kind}_matcher']['predicate']))})"
    single = one["single_predicate"]
    source, custom = single["input"]["typed_config"], single.get("custom_match", {}).get("typed_config", {})
    if "expr_match" in custom:
        return f"cel({_cel(custom['expr_match']['cel_expr_parsed']['expr'])})"
    name = source.get("header_name") or (source["path"][0]["key"] if "path" in source else "source")
    if "cidr_ranges" in custom:
        return f"{name} within {' '.join(each['address_prefix'] + '/' + str(each.get('prefix_len', 0)) for each in custom['cidr_ranges'])}"
    return f"{name} {_value(custom['value'] if custom else {'string_match': single['value_match']})}"


def _value(value: dict) -> str:
    if "or_match" in value:
        return "|".join(_value(each) for each in value["or_match"]["value_matchers"])
    if "present_match" in value:
        return "present"
    if "double_match" in value:
        double = value["double_match"]
        return f"= {double['exact']:g}" if "exact" in double else f"[{_edge(double['range'], 'start')}, {_edge(double['range'], 'end')})"
    ((kind, text),) = value["string_match"].items()
    return f"{kind} {text['regex']}" if kind == "safe_regex" else f"{kind} {text!r}"


def _edge(of: dict, name: str) -> str:
    value = float(of.get(name, 0))
    return "min" if value < -1e300 else "inf" if value > 1e300 else repr(value)


def written(tree: Ast) -> str:
    """A tree as CEL."""
    if tree.kind == "const":
        return repr(tree.value) if isinstance(tree.value, float | bytes) else json.dumps(tree.value, ensure_ascii=False)
    parts = [written(part) for part in tree.args]
    target = written(tree.target) if tree.target else ""
    if tree.kind == "call":
        return _called(tree.name, target, parts)
    plain = {"name": tree.name, "list": f"[{', '.join(parts)}]", "select": f"{target}.{tree.name}", "has": f"has({target}.{tree.name})"}
    return plain[tree.kind]


def _called(name: str, target: str, parts: list[str]) -> str:
    if name == "_[_]":
        return f"{parts[0]}[{parts[1]}]"
    if name in ("!_", "-_"):
        return f"{name[0]}({parts[0]})"
    if name == "_?_:_":
        return f"({parts[0]} ? {parts[1]} : {parts[2]})"
    if name.startswith(("_", "@")):
        operator = name.strip("_@")
        both = f"{parts[0]} {operator} {parts[1]}"
        return f"({both})" if operator in ("||", "&&", "+", "*") else both
    return f"{target}.{name}({', '.join(parts)})" if target else f"{name}({', '.join(parts)})"


def _cel(expr: dict) -> str:
    return written(_ast(expr))


def _ast(expr: dict) -> Ast:
    if "const_expr" in expr:
        ((kind, value),) = expr["const_expr"].items()
        return Ast("const", value=int(value) if kind == "int64_value" else value)
    if "ident_expr" in expr:
        return Ast("name", name=expr["ident_expr"]["name"])
    if "list_expr" in expr:
        return Ast("list", args=tuple(map(_ast, expr["list_expr"]["elements"])))
    if "select_expr" in expr:
        select = expr["select_expr"]
        return Ast("has" if select.get("test_only") else "select", name=select["field"], target=_ast(select["operand"]))
    call = expr["call_expr"]
    target = _ast(call["target"]) if "target" in call else None
    return Ast("call", name=call["function"], target=target, args=tuple(map(_ast, call.get("args", []))))
