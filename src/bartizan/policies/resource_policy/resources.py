"""Resource: which requests an ARN names.

A request's ARN is `arn:aws:execute-api:<region>:<gateway>:<api>/$default/<METHOD><path>`, its path the one that callers write, without
the query. A pattern is matched against the whole of it, as AWS does: `*` may stand for several parts. Envoy holds method and path
apart, so a pattern is cut where the one ends and the other begins.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bartizan.envoy.matching import header
from bartizan.model.api import Api
from bartizan.model.policy import Target, within
from bartizan.policies.resource_policy.glob import HEAVIEST, Glob, VariableError, Wild, literal, matches, read, regex, rests, splits, weight
from bartizan.policies.resource_policy.logic import ANYTHING, Rule, every, some
from bartizan.policies.resource_policy.notes import Refused, no_variable, too_large

STAGE = "$default"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
_FORM = "arn:aws:execute-api:*:<gateway>:<api>/<stage>/<METHOD>/<path>"
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")
_ENCODED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_WILD = frozenset("*?")
_HEX = "[0-9A-Fa-f]"
_MORE = "%[89ABab][0-9A-Fa-f]"
_ONE_BYTE = f"%{_HEX}{_HEX}"
_ONE = f"(?:[^?%]|%[0-7]{_HEX}|%[CDcd]{_HEX}{_MORE}|%[Ee]{_HEX}(?:{_MORE}){{2}}|%[Ff]{_HEX}(?:{_MORE}){{3}})"
_QUERY = rf"(?:\?{ANYTHING})?"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of requests' ARNs."""

    glob: Glob
    """Of what stands behind the account, `<api>/$default/<METHOD><path>`; with `own`, of what stands behind the API."""
    account: str | None = None
    """The account that it names."""
    own: bool = False
    """Whether it is the short form, which speaks of the API that the policy is compiled for."""

    @property
    def api(self) -> str | None:
        """The API that it names, if it names one."""
        return None if self.own else literal(_until_slash(self.glob))

    def head(self, api: str) -> str:
        """What `glob` begins with in requests of this API."""
        return f"/{STAGE}/" if self.own else f"{api}/{STAGE}/"


def _until_slash(glob: Glob) -> Glob:
    return glob[: glob.index("/")] if "/" in glob else glob


# Reading.


def pattern(text: str, variables: bool) -> Pattern:
    """The pattern that a Resource is. Refused if it is none, or names what isn't here."""
    if text == "*":
        return Pattern((Wild.MANY,))
    if text.startswith("execute-api:"):
        rest = text.removeprefix("execute-api:")
        if not rest.startswith("/"):
            raise Refused("arn-malformed", f"{text!r} is not a short form of an ARN", "Write execute-api:/* or execute-api:/*/GET/orders.")
        return Pattern(_glob(text, rest, variables, own=True), own=True)
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        raise Refused("arn-malformed", f"{text!r} is not an ARN of an API", f"Write {_FORM}, execute-api:/* or *.")
    _, partition, service, region, account, rest = parts
    if partition not in {"aws", "*"} or service != "execute-api":
        raise Refused("arn-malformed", f"{text!r} is not an ARN of an API", f"It begins with arn:aws:execute-api, as in {_FORM}.")
    if region != "*":
        raise Refused("arn-region", f"a gateway has no region, so {region!r} names nothing", "Write * for the region.")
    if account != "*" and not re.fullmatch(r"[A-Za-z0-9-]+", account):
        raise Refused("arn-account", f"the account {account!r} can't be a gateway", "The account is the gateway's name, or *.")
    return Pattern(_glob(text, rest, variables, own=False), None if account == "*" else account)


def _glob(text: str, rest: str, variables: bool, own: bool) -> Glob:
    try:
        read(rest, variables=variables)  # before what is encoded becomes plain
        glob = read(_decoded(rest))
    except VariableError as error:
        raise no_variable(str(error), variables) from error
    if weight(glob) > HEAVIEST:
        raise too_large()
    parts = rest.split("/")
    if len(parts) > 1 and ("*" not in parts[0] or parts[0] == "*"):
        _check_parts(text, parts[1:])
    return glob


def _check_parts(text: str, parts: Sequence[str]) -> None:
    """Parts that plainly stand where they do, and plainly name nothing."""
    stage, method = parts[0], parts[1] if len(parts) > 1 else "*"
    if not _WILD & set(stage) and stage not in {STAGE, ""}:
        raise Refused(
            "arn-stage", f"there is no stage {stage!r} in {text!r}", f"APIs have one stage: write * or {STAGE}, then /METHOD/path."
        )
    if "*" not in stage and not _WILD & set(method) and method != method.upper():
        raise Refused("arn-method", f"{method!r} in {text!r} is not a method", f"Methods are in capitals, as in {_FORM}.")


def _decoded(text: str) -> str:
    """Percent-encoded characters as they are; those that mean something in patterns stay what they are, without meaning it."""

    def plain(found: re.Match[str]) -> str:
        try:
            characters = bytes.fromhex(found[0].replace("%", "")).decode()
        except UnicodeDecodeError as error:
            raise Refused("arn-malformed", f"{found[0]} encodes no characters", "Encode UTF-8, as in %C3%A9.") from error
        if "/" in characters:
            raise Refused(
                "arn-unreachable", "requests with an encoded slash are refused before any policy is asked", "Write /, or nothing."
            )
        return "".join(f"${{{each}}}" if each in "*?$" else each for each in characters)

    decoded = _ENCODED.sub(plain, text)
    if "%" in _ENCODED.sub("", text):
        raise Refused("arn-malformed", "a % begins an encoded character", "Write a % itself as %25.")
    return decoded


# As rules.


def covered(of: Pattern, api: str, loose: bool) -> Rule:
    """The requests of this API that a pattern names.

    Loose is for where that refuses: then HEAD counts as GET, and a slash at the path's end as none, because servers take them for one.
    """
    return some(_cut(rest, loose) for rest in reversed(rests(of.glob, of.head(api))))  # what is meant comes last, and is the cheapest


def _cut(glob: Glob, loose: bool) -> Rule:
    found: dict[tuple[Glob, Glob], Rule] = {}
    for method, path in splits(glob):
        if method and "/" not in method and path and path[0] in {"/", Wild.ONE, Wild.MANY}:
            found[method, path] = every([_method(method, loose), _path(path, loose)])
    return some(reversed(found.values()))


def _method(glob: Glob, loose: bool) -> Rule:
    if all(token is Wild.MANY for token in glob):
        return True
    text = literal(glob)
    rules = [header(":method", safe_regex=_re2(regex(glob)))] if text is None else [header(":method", exact=text)]
    if loose and matches(glob, "GET") and not matches(glob, "HEAD"):
        rules.append(header(":method", exact="HEAD"))
    return some(rules)


def _path(glob: Glob, loose: bool) -> Rule:
    if all(token is Wild.MANY for token in glob) or glob == ("/", Wild.MANY):
        return True
    plain = literal(glob[:-1])
    if glob[-1] is Wild.MANY and plain and _UNRESERVED.issuperset(plain):
        return header(":path", prefix=plain)
    if not loose:
        return header(":path", safe_regex=_re2(_path_regex(glob, _ONE) + _QUERY))
    whole = glob[:-1] if glob[-1] == "/" and len(glob) > 1 else glob
    return header(":path", safe_regex=_re2(f"{_path_regex(whole, f'(?:{_ONE}|{_ONE_BYTE})')}/?{_QUERY}"))


def _path_regex(glob: Glob, one: str) -> str:
    return regex(glob, _written, one=one, many="[^?]*")


def _written(character: str) -> str:
    """All the ways in which a path may hold a character. Encoded letters and the like never come this far."""
    if character in _UNRESERVED:
        return re.escape(character)
    encoded = "".join("%" + "".join(_digit(digit) for digit in f"{byte:02x}") for byte in character.encode())
    return f"(?:{re.escape(character)}|{encoded})" if character.isascii() else encoded


def _digit(digit: str) -> str:
    return f"[{digit}{digit.upper()}]" if digit.isalpha() else digit


def _re2(pattern: str) -> dict[str, object]:
    return {"google_re2": {}, "regex": pattern}


# Whether a pattern names anything.


def names_something(of: Pattern, apis: Sequence[Api], target: Target) -> bool:
    """Whether a request of these APIs that the target covers can have such an ARN, as it was meant.

    A pattern with all four parts is taken part by part here, though a `*` in it may stand for several when it is matched: else
    `execute-api:/*/GET/refunds` would name `/orders/GET/refunds`, and nobody would be told that the API's prefix is missing.
    """
    if not apis or all(token is Wild.MANY for token in of.glob):
        return True
    cut = _four_parts(of.glob)
    return any(_names_whole(of, api, target) if cut is None else _names_parts(of, cut, api, target) for api in apis)


def _names_whole(of: Pattern, api: Api, target: Target) -> bool:
    heads = rests(of.glob, of.head(api.name))
    return any(_reaches(rest, method + path) for rest in heads for method in _answered(api, target) for path in _paths(api, target))


def _names_parts(of: Pattern, cut: tuple[Glob, Glob, Glob, Glob], api: Api, target: Target) -> bool:
    name, stage, method, path = cut
    return (
        (of.own or matches(name, api.name))
        and matches(stage, STAGE)
        and any(matches(method, one) for one in _answered(api, target))
        and any(_reaches(path, one) for one in _paths(api, target))
    )


def _four_parts(glob: Glob) -> tuple[Glob, Glob, Glob, Glob] | None:
    """API, stage, method and path, if all of them are there."""
    slashes = [place for place, each in enumerate(glob) if each == "/"]
    if len(slashes) < 3:
        return None
    first, second, third = slashes[:3]
    return glob[:first], glob[first + 1 : second], glob[second + 1 : third], glob[third:]


def _reaches(glob: Glob, text: str) -> bool:
    """Whether the pattern matches a text that ends in a path, or one below that path."""
    found = rests(glob, text)
    return bool(found) and (text.endswith("/") or any(matches(rest, "") or rests(rest, "/") for rest in found))


def _answered(api: Api, target: Target) -> Iterator[str]:
    answered = (*api.methods, "HEAD") if "GET" in api.methods else api.methods or (*METHODS, *target.methods)
    yield from (one for one in answered if not target.methods or one in target.methods or (one == "HEAD" and "GET" in target.methods))


def _paths(api: Api, target: Target) -> Iterator[str]:
    """The prefixes of the paths that are both the API's and the target's."""
    for path in api.paths:
        for covered_path in target.paths or ("/",):
            if within(path, covered_path):
                yield path
            elif within(covered_path, path):
                yield covered_path
