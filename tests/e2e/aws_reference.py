"""AWS's evaluation of a resource policy, written down a second time and without Envoy: what the tests compare with.

Sources: the IAM User Guide ("Condition operators", "Multivalued context keys", "IAM JSON policy elements"). It takes documents
without mistakes, and a request as a plain value.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any
from urllib.parse import unquote_to_bytes

Value = str | float | bool | list[str] | bytes


@dataclass
class Request:
    """A request, and who sends it."""

    gateway: str
    api: str
    method: str
    path: str
    id: str | None = None
    credential: str | None = None
    issuer: str | None = None
    groups: list[str] = field(default_factory=list)
    keys: dict[str, Value] = field(default_factory=dict)
    "Condition keys in lower case that are there."
    unreadable: set[str] = field(default_factory=set)
    "Condition keys, and `groups`, that are there and can't be judged."
    unreadable_characters: set[str] = field(default_factory=set)
    "Condition keys whose characters can't be counted."


def allowed(document: Mapping[str, Any], request: Request) -> bool:
    """Explicit deny, then allow, else deny; and a request that can't be judged is refused."""
    statements = _list(document["Statement"])
    if any(_unjudgeable(statement, request) for statement in statements):
        return False
    if any(one["Effect"] == "Deny" and _applies(one, request) for one in statements):
        return False
    return any(one["Effect"] == "Allow" and _applies(one, request) for one in statements)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _unjudgeable(statement: Mapping[str, Any], request: Request) -> bool:
    named = [text for texts in _element(statement, "Principal").values() for text in texts]
    if "groups" in request.unreadable and any(":role/" in text for text in named):
        return True
    for operator, keys in statement.get("Condition", {}).items():
        for key, wanted in keys.items():
            counts = ("Like" in operator or operator.removeprefix("ForAnyValue:").removeprefix("ForAllValues:").startswith("Arn")) and any(
                "?" in str(each).replace("${?}", "") for each in _list(wanted)
            )
            if key.lower() in request.unreadable or (counts and key.lower() in request.unreadable_characters):
                return True
    return False


def _applies(statement: Mapping[str, Any], request: Request) -> bool:
    return (
        _is_meant(statement, request)
        and _is_covered(statement, request)
        and all(
            _holds(operator, request.keys.get(key.lower()), _list(wanted))
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


# Principals.


def _element(statement: Mapping[str, Any], name: str) -> dict[str, list[str]]:
    value = statement.get(name, statement.get(f"Not{name}", []))
    return {kind: _list(texts) for kind, texts in value.items()} if isinstance(value, dict) else {"AWS": _list(value)}


def _is_meant(statement: Mapping[str, Any], request: Request) -> bool:
    named = [text for texts in _element(statement, "Principal").values() for text in texts]
    if "NotPrincipal" in statement:
        return not any(_is(text, request) for text in named if not _is_account(text, request))
    return any(_is(text, request) for text in named)


def _is_account(text: str, request: Request) -> bool:
    return text in {request.gateway, f"arn:aws:iam::{request.gateway}:root"}


def _is(text: str, request: Request) -> bool:
    if text == "*":
        return True
    if request.id is None:
        return False
    if _is_account(text, request) or text == _arn(request.gateway, request.id):
        return True
    kind, _, name = text.split(":", 5)[5].partition("/")
    if kind == "oidc-provider":
        return request.credential == "jwt" and request.issuer == name
    return kind == "role" and name in request.groups


def _arn(gateway: str, ident: str) -> str:
    return f"arn:aws:sts::{gateway}:federated-user/{ident}" if "|" in ident else f"arn:aws:iam::{gateway}:user/{ident}"


def known_of(request: Request) -> dict[str, Value]:
    """The condition keys that tell who calls."""
    if request.id is None:
        return {}
    found: dict[str, Value] = {
        "aws:userid": request.id,
        "aws:principalaccount": request.gateway,
        "aws:principaltype": "FederatedUser" if "|" in request.id else "User",
        "aws:principalarn": _arn(request.gateway, request.id),
    }
    return found if "|" in request.id else {**found, "aws:username": request.id}


# Resources.


def _is_covered(statement: Mapping[str, Any], request: Request) -> bool:
    negated = "NotResource" in statement
    loose = (statement["Effect"] == "Deny") != negated
    found = any(_names(pattern, request, loose) for pattern in _element(statement, "Resource")["AWS"])
    return found != negated


def _names(pattern: str, request: Request, loose: bool) -> bool:
    head = f"arn:aws:execute-api:somewhere:{request.gateway}:{request.api}"
    if pattern.startswith("execute-api:/"):
        pattern = head + pattern.removeprefix("execute-api:")
    if pattern != "*":
        *_, rest = pattern.split(":", 5)
        encoded = unquote_to_bytes(re.sub(r"%(2A|3F|24)", lambda found: "${" + chr(int(found[1], 16)) + "}", rest, flags=re.I)).decode()
        pattern = pattern.removesuffix(rest) + encoded
    return any(_like(pattern, f"{head}/$default/{method}{path}") for method, path in _variants(pattern, request, loose))


def _variants(pattern: str, request: Request, loose: bool) -> Iterator[tuple[str, str]]:
    raw = unquote_to_bytes(request.path)
    texts = {raw.decode("utf-8", "surrogateescape")} | ({raw.decode("latin-1")} if loose else set())
    methods = {request.method} | ({"GET"} if loose and request.method == "HEAD" else set())
    for text in texts:
        paths = {text}
        if loose:
            paths |= {text.removesuffix("/") or "/"} | ({text + "/"} if pattern.endswith("/") else set())
        yield from ((method, path) for method in methods for path in paths)


def _like(pattern: str, text: str, flags: int = 0) -> bool:
    return re.fullmatch(_regex(pattern), text, re.DOTALL | flags) is not None


def _regex(pattern: str) -> str:
    parts = re.split(r"(\$\{[*?$]\}|[*?])", pattern)
    return "".join({"*": ".*", "?": "."}.get(part) or re.escape(_plain(part)) for part in parts)


def _plain(text: str) -> str:
    return re.sub(r"\$\{([*?$])\}", r"\1", text)


# Conditions.

_NEGATED = re.compile(r"^(String|Numeric|Date|Arn)Not|^Not")


def _holds(name: str, value: Value | None, wanted: Sequence[Any]) -> bool:
    if name == "Null":
        return any((str(each).lower() == "true") == (value is None or value == []) for each in wanted)
    quantifier, _, base = name.rpartition(":")
    if_exists, base = base.endswith("IfExists"), base.removesuffix("IfExists")
    negated, base = bool(_NEGATED.search(base)), base.replace("Not", "")

    def one(each: Any) -> bool:
        return any(_compare(base, each, want) for want in wanted) != negated

    if not quantifier:
        return (negated or if_exists) if value is None else one(value)
    several = [] if value is None or value == "" else value if isinstance(value, list) else [value]
    return any(map(one, several)) if quantifier == "ForAnyValue" else all(map(one, several))


def _compare(base: str, value: Any, wanted: Any) -> bool:
    text = str(wanted).lower() if isinstance(wanted, bool) else str(wanted)
    if base == "Bool":
        return str(value).lower() == text.lower()
    if base == "IpAddress":
        return ipaddress.ip_address(value) in ipaddress.ip_network(text)
    if base.startswith("Numeric"):
        return _order(base.removeprefix("Numeric"), Fraction(value), Fraction(float(text)))
    if base.startswith("Date"):
        return _order(base.removeprefix("Date"), Fraction(value), _moment(text))
    if base.startswith("Arn"):
        parts, patterns = value.split(":", 5), wanted.split(":", 5)
        return all(_like(pattern, part) for pattern, part in zip(patterns, parts, strict=True))
    if base == "StringLike":
        return _like(text, value)
    if base == "StringEqualsIgnoreCase":
        return re.fullmatch(re.escape(_plain(text)), value, re.IGNORECASE) is not None
    assert base == "StringEquals", base
    return bool(value == _plain(text))


def _order(name: str, left: Fraction, right: Fraction) -> bool:
    return {
        "Equals": left == right,
        "LessThan": left < right,
        "LessThanEquals": left <= right,
        "GreaterThan": left > right,
        "GreaterThanEquals": left >= right,
    }[name]


def _moment(text: str) -> Fraction:
    if text.isdigit():
        return Fraction(text)
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}", text):
        text += "-01"
    if "T" not in text:
        text += "T00:00:00Z"
    return Fraction(datetime.fromisoformat(text).timestamp())
