"""Regular expressions (RE2) for what a plain string match can't say: hosts, lists in JSON, kinds of devices; and what RE2 takes."""

import re
from collections.abc import Iterable

from cel_expr_python import cel  # type: ignore[import-untyped]  # has stubs, no py.typed

LONGEST = 512
"""Characters of a pattern that someone writes."""

ANYTHING = r"\C*"
"""Matches every value, also one that isn't UTF-8 (which `.` doesn't)."""

ASCII = r"[\x00-\x7f]*"

_COPIES = 40
"""RE2 refuses a program that outgrows its memory, at some 700,000 instructions, so a pattern of which it takes so many copies in
a row has less than 20,000: what Envoy is told to take (`re2.max_program_size` in its bootstrap)."""

_MATCHES = cel.NewEnv(variables={"pattern": cel.Type.STRING}).compile('"".matches(pattern)')


def _compiles(pattern: str) -> str | None:
    """What RE2 has against a pattern; None if it takes it."""
    result = _MATCHES.eval(data={"pattern": pattern})
    return str(result.value()) if result.type() == cel.Type.ERROR else None


def problem(pattern: str) -> str | None:
    """Why a pattern that someone wrote can't be used; None if it can."""
    if len(pattern) > LONGEST:
        return f"it is longer than {LONGEST} characters"
    found = _compiles(pattern) or _compiles(found_in(pattern)) or _compiles(f"(?:{pattern})" * _COPIES)
    return re.sub(r"^INVALID_ARGUMENT: |invalid regular expression: ", "", found) if found else None


def found_in(pattern: str) -> str:
    """A pattern for whole values that holds where `pattern` is found anywhere in them."""
    return f"\\C*?(?:{pattern}){ANYTHING}"


def quoted(text: str) -> str:
    """A pattern for exactly `text`."""
    return re.escape(text)


# Hosts. Envoy's CEL can't lower the case, and knows the authority only with its port.

_PORT = "(?::[0-9]*)?"
ANY_HOST = rf"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:]+){_PORT}"
"""An authority: a name or an address, and a port perhaps."""


def _caseless(text: str) -> str:
    return "".join(f"[{each.upper()}{each}]" if "a" <= each <= "z" else quoted(each) for each in text)


def host_is(hosts: Iterable[str]) -> str:
    return f"(?:{'|'.join(map(_caseless, hosts))}){_PORT}"


def host_has(how: str, part: str) -> str:
    if not part:
        return ANY_HOST
    before = "" if how == "startsWith" else r"[^\[\]:]*"
    after = "" if how == "endsWith" else r"[^\[\]:]*"
    named = f"{before}{_caseless(part)}{after}"
    inside = rf"|\[[0-9A-Fa-f:.]*{_caseless(part)}[0-9A-Fa-f:.]*\]" if how == "contains" else ""
    return f"(?:{named}{inside}){_PORT}"


# Paths, inside `:path`, which holds the query too.

_QUERY = rf"(?:\?{ANYTHING})?"


def path_has(how: str, part: str) -> str:
    after = "" if how == "endsWith" else "[^?]*"
    return f"[^?]*{quoted(part)}{after}{_QUERY}"


# Lists: the text of a JSON list, as serializers write it.

_ELEMENT = r"\"(?:[^\"\\]|\\.)*\"|-?[0-9][0-9.eE+-]*|true|false|null"
LIST = rf"(?s) *\[ *(?:(?:{_ELEMENT}) *,? *)*\] *"
"""A flat JSON list. (A missing comma is overlooked: strings end where they end, with or without one.)"""

_WORD = r"[!#-\[\]-~]+"
WORDS = rf"{_WORD}(?: {_WORD})*"
"""Words with one space between them, as RFC 6749 writes a scope. No list is one: its strings stand in quotation marks."""

ODD_ESCAPE = r"\\u00(?:2[013458-9a-eA-E]|3[0-9abfABF]|[46][0-9a-fA-F]|5[0-9abdefABDEF]|7[0-9a-eA-E])"
"""A printable character written as \\u00XX where no serializer does so; a list with one counts as malformed."""

_SHORT_ESCAPES = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "/": "/"}
_PERHAPS_ESCAPED = frozenset("&'/<=>\x7f")


def list_holds(value: str) -> str:
    """A pattern for the beginning of a list's text (given that it is well formed), up to `value` as one of its elements."""
    return rf"(?s) *\[(?:\"(?:[^\"\\]|\\.)*\"|[^\"])*\"{''.join(map(json_forms, value))}\""


def words_hold(value: str) -> str:
    """The same for words."""
    return rf"(?:[^ ]+ )*{quoted(value)}(?: |$)"


def lists(declared: str) -> tuple[str, ...]:
    """Patterns for what a list of this type may look like."""
    return (LIST, WORDS) if declared == "words" else (LIST,)


def holding(declared: str, value: str) -> tuple[str, ...]:
    """Patterns for the beginning of such a list, up to `value` as one of its elements."""
    return (list_holds(value), words_hold(value)) if declared == "words" and re.fullmatch(_WORD, value) else (list_holds(value),)


def json_forms(character: str) -> str:
    """A pattern for all the ways in which a JSON string may hold a character."""
    code = ord(character)
    if character in '"\\':
        return rf"\\(?:{quoted(character)}|{_unit(code)})"
    forms = [] if code < 0x20 else [quoted(character)]
    if character in _SHORT_ESCAPES:
        forms.append(rf"\\{_SHORT_ESCAPES[character]}")
    if code < 0x20 or character in _PERHAPS_ESCAPED or 0x80 <= code < 0x10000:
        forms.append(rf"\\{_unit(code)}")
    if code >= 0x10000:
        high, low = divmod(code - 0x10000, 0x400)
        forms.append(rf"\\{_unit(0xD800 + high)}\\{_unit(0xDC00 + low)}")
    return forms[0] if len(forms) == 1 else f"(?:{'|'.join(forms)})"


def _unit(code: int) -> str:
    return "u" + "".join(f"[{each}{each.upper()}]" if each.isalpha() else each for each in f"{code:04x}")


# Devices, by the user agent.

DEVICES: tuple[tuple[str, str], ...] = (
    ("bot", r"(?i)bot\b|crawler|spider|slurp|headless"),
    ("bot", r"(?i)^(?:curl|wget|python|java|go-http-client|libwww)\b"),
    ("tablet", r"(?i)ipad|tablet|kindle|silk/|playbook"),
    ("mobile", r"(?i)mobi|iphone|ipod|windows phone"),
    ("tablet", r"(?i)android"),
    ("desktop", r"(?i)windows nt|macintosh|x11|\bcros\b"),
)
"""What is looked for in a user agent: the first that is found tells the device's type; if none is, it is `unknown`."""
