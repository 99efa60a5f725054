"""A record as a question: the request as it was, and who asked as they were known then; and what of it the record doesn't tell."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from bartizan.condition.schema import DEVICE, NOTED
from bartizan.model.api import Api
from bartizan.model.attributes import attribute_text
from bartizan.model.consumer import Consumer
from bartizan.model.places import PLACES, UNKNOWN, is_place
from bartizan.model.policy import within
from bartizan.replay.outcome import Recorded
from bartizan.scratch import Identified, Principal, Question, Unaskable, UnknownKey
from bartizan.scratch.request import Setting

SurelyAsked = Callable[[Mapping[str, Any]], frozenset[str]]
"""The attributes that were surely asked for when this record was written: those that it lacks, the principal lacked."""

RECORDED = frozenset(
    {
        *("request.method", "request.path", "request.host", "request.scheme", "request.tls"),
        *("now", "source.ip", "device.type", "device.ja4", "device.certificate"),
    }
)
"""What records tell of a request, if nothing of it was cut; and of the principal, what was asked for then."""
_SHOWN = {name.replace("_", ".", 1): name for name in DEVICE}
"""What is noted of a device, by the names that conditions use."""
_OF_ALL = frozenset({"id", "method", "issuer"})
_CUT = 253
"""Bytes of a text that Envoy cuts at 256; it may cut in the middle of a character."""
_CUT_PATH = 1021
_MALFORMED = ("authorization", "Basic -")
_WRONG_TOKEN = ("authorization", "Bearer -")
_OF_TOKENS = ("jwt_", "rbac_access_denied_matched_policy[inactive-token]")
"""How the response code details begin that tell of a wrong token."""
_PREFLIGHT = (("origin", "https://preflight.invalid"), ("access-control-request-method", "GET"))
_UPGRADE = (("connection", "upgrade"), ("upgrade", "websocket"))
_Caller = tuple[str, Principal | None, tuple[tuple[str, str], ...], bool, frozenset[str] | None]
"""Who asked: for people, and as a principal or headers; whether the record tells it, and of which attributes."""


def recordable(need: str) -> bool:
    """Whether some record tells this, by the name that conditions use."""
    return need in RECORDED or need in _SHOWN or need.startswith("principal.") or is_place(need)


NOBODY, SOMEONE, WRONG = "nobody", "someone", "a wrong credential"
"""Who asks, if it isn't known who."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a record tells of what policies may ask for."""

    lacking: frozenset[str]
    """What it lacks of `RECORDED`."""
    caller: bool
    """Whether it tells who asked, or that nobody did."""
    attributes: frozenset[str] | None
    """The attributes of which it tells the value, or that there was none. None: all."""
    places: frozenset[str] = frozenset()
    """The same for what databases told of the address."""

    def tells(self, need: str) -> bool:
        """Whether it tells this, by the name that conditions use."""
        if is_place(need):
            return need in self.places
        kind, _, name = need.partition(".")
        if need in _SHOWN:
            return self.caller and (self.attributes is None or _SHOWN[need] in self.attributes)
        if kind != "principal":
            return need in RECORDED and need not in self.lacking
        return self.caller and (self.attributes is None or name in _OF_ALL or name in self.attributes)


@dataclass(frozen=True, slots=True)
class Asking:
    """A question out of a record, and how far the record bears it."""

    question: Question
    evidence: Evidence
    who: str
    """Who asked, for people."""
    now: bool = False
    """Attributes that nobody asked for then are those that the consumer has now."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Makes questions for one candidate."""

    setting: Setting
    listeners: tuple[str, ...]
    asked: frozenset[str]
    """The attributes, and what is told of places, that the candidate asks for: others needn't be told."""
    body: int
    """The smallest body that the candidate may find too large; 0 for none."""
    apis: Mapping[str, Api]
    surely_asked: SurelyAsked
    consumers: Mapping[str, Consumer] = field(default_factory=dict)
    """Those of now: what nobody asked for then is taken from them, and told so."""

    def asking(self, record: Mapping[str, Any], recorded: Recorded) -> Asking:
        """The question. Unaskable if the record can't tell it; whether it can be put is for the scratch instance to say."""
        who, principal, extra, caller, attributes = self._caller(record, recorded)
        agent, size = record.get("user_agent"), int(record.get("bytes_in") or 0)
        listener = self._listener(bool(record.get("tls")))
        path, exact = self._path(record)
        place, places = self._place(record)
        question = Question(
            str(record.get("http_method") or ""),
            path,
            str(record.get("host") or ""),
            (*((("user-agent", agent),) if agent else ()), *extra, *_shape(record, recorded)),
            principal=principal,
            at=datetime.fromisoformat(str(record["time"])),
            source=str(record.get("source") or "").partition("/")[0],
            listener=listener,
            size=size if self.body and size > self.body else 0,
            ja4=str(record.get("ja4") or ""),
            device=str(record.get("device_id") or ""),
            device_state="trusted" if record.get("device_trusted") == "true" else "pending",
            place=place,
        )
        known = self._known_now(principal, attributes)
        if known is not None:
            question, attributes = replace(question, principal=known), self._told_now(attributes)
        evidence = Evidence(self._lacking(record, listener, exact), caller, attributes, places)
        return Asking(question, evidence, who, now=known is not None)

    def _place(self, record: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], frozenset[str]]:
        """What databases told then, and of which of it that is sure. A truth that the record lacks though it was asked for wasn't known."""
        told, noted, surely = [], record.get("place") or {}, self.surely_asked(record)
        found: set[str] = set()
        for name in sorted(filter(is_place, self.asked)):
            short = name.removeprefix("source.")
            if (text := _text(noted.get(short))) is not None:
                told.append((short, text))
            elif name not in surely or noted.get(short):
                continue
            elif PLACES[name] == "bool":
                told.append((short, UNKNOWN))
            found.add(name)
        return tuple(told), frozenset(found)

    def _known_now(self, principal: Principal | None, told: frozenset[str] | None) -> Identified | None:
        """A consumer with the attributes of now where the record doesn't tell those of then; None if it tells all, or it is no consumer."""
        if not isinstance(principal, Identified) or told is None or principal.method == "jwt":
            return None
        if not (missing := self._attributes() - told - self.setting.contextual):
            return None
        if (consumer := self.consumers.get(principal.id)) is None:
            return None
        values = {"groups": consumer.groups, **consumer.attributes}
        added = {name: attribute_text(value) for name in missing if (value := values.get(name)) is not None}
        return replace(principal, noted=(*principal.noted, *((name, text) for name, text in added.items() if text)))

    def _told_now(self, told: frozenset[str] | None) -> frozenset[str] | None:
        """The attributes of which it is known what to ask with, when a consumer's of now are taken: not those that sources told."""
        if told is None or not (self._attributes() - told) & self.setting.contextual:
            return None
        return told | (self._attributes() - self.setting.contextual)

    def _attributes(self) -> frozenset[str]:
        return frozenset(name for name in self.asked if not is_place(name))

    def _path(self, record: Mapping[str, Any]) -> tuple[str, bool]:
        """The path as the caller wrote it, and whether that is sure. Of a request that went on with its prefix taken off, the record
        holds what the upstream saw. Unaskable if the prefix isn't known."""
        path, route = str(record.get("path") or ""), str(record.get("route") or "")
        api = self.apis.get(str(record.get("api") or ""))
        stripped = api is not None and api.strip_path and record.get("details") == "via_upstream"
        if not route or (within(path, route) and not stripped):
            return path, not _is_cut(path, _CUT_PATH)
        prefix = max((one for one in api.paths if within(route, one)), key=len, default=None) if api is not None else None
        if prefix is None:
            raise Unaskable("what was taken off the path")
        # Of `/orders` and `/orders/` the upstream sees `/` alike.
        return prefix.rstrip("/") + path, path != "/" and not _is_cut(path, _CUT_PATH)

    def _listener(self, tls: bool) -> str:
        """The first that speaks TLS, or doesn't, as that which the request came to."""
        return next((one for one in self.listeners if (one in self.setting.secure) == tls), self.listeners[0])

    def _lacking(self, record: Mapping[str, Any], listener: str, exact: bool) -> frozenset[str]:
        tls = bool(record.get("tls"))
        untold = {
            "request.path": not exact,
            "request.host": _is_cut(record.get("host")),
            "device.type": _is_cut(record.get("user_agent")),
            "device.certificate": tls,  # a scratch instance has no TLS, so it can't show one
            "request.tls": (listener in self.setting.secure) != tls,
            # HTTP/2 lets callers say what they like, and proxies tell what they were asked by.
            "request.scheme": not str(record.get("protocol")).startswith("HTTP/1") or bool(self.setting.proxied),
            "source.ip": "/" in str(record.get("source") or "/"),
        }
        return frozenset(name for name, lacks in untold.items() if lacks)

    def _caller(self, record: Mapping[str, Any], recorded: Recorded) -> _Caller:
        if record.get("principal"):
            return self._known(record)
        if recorded.by in {"credentials", "malformed-credential", "ambiguous-credential"}:
            principal, headers = self._wrong(record, recorded)
            return WRONG, principal, headers, True, None
        # Only where someone has to say who they are are credentials looked at.
        judged = "Authenticate/" in str(record.get("policies") or "") or recorded.by == "Cors"
        return (NOBODY if judged else SOMEONE), None, (), judged, None

    def _known(self, record: Mapping[str, Any]) -> _Caller:
        ident, method = str(record["principal"]), record.get("auth_method")
        found = _noted(record)
        noted = {name: text for name, value in found if name in self.asked and (text := _text(value)) is not None}
        known = Identified(method, ident, str(record.get("issuer") or ""), tuple(noted.items()))  # type: ignore[arg-type]
        told = frozenset(noted) | (self.surely_asked(record) - {name for name, value in found if value not in (None, "")})
        return ident, known, (), not _is_cut(ident), told

    def _wrong(self, record: Mapping[str, Any], recorded: Recorded) -> tuple[Principal | None, tuple[tuple[str, str], ...]]:
        """A wrong credential of the same kind."""
        if recorded.by == "malformed-credential":
            return None, (_MALFORMED,)
        if recorded.by == "credentials" and not str(record.get("details")).startswith(_OF_TOKENS):
            return UnknownKey(), ()
        key = (self.setting.key_header, "-") if self.setting.key_header else ("cookie", f"{self.setting.key_cookie}=-")
        return None, (_WRONG_TOKEN, key) if recorded.by == "ambiguous-credential" else (_WRONG_TOKEN,)


def _shape(record: Mapping[str, Any], recorded: Recorded) -> tuple[tuple[str, str], ...]:
    """Headers that it must have had to be answered as it was."""
    if recorded.by == "Cors":
        return _PREFLIGHT
    return _UPGRADE if record.get("status") == 101 or recorded.by == "upgrade-not-enabled" else ()


def _noted(record: Mapping[str, Any]) -> list[tuple[str, Any]]:
    beside = ((name, record.get(name)) for name in NOTED)
    return [*(record.get("attributes") or {}).items(), ("groups", record.get("groups")), *beside]


def _text(value: Any) -> str | None:
    """A noted value as Envoy knows it: numbers without an exponent. None if there is none, or if it was cut."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return format(Decimal(repr(value)), "f").removesuffix(".0")
        case str() if value and not _is_cut(value):
            return value
    return None


def _is_cut(value: Any, most: int = _CUT) -> bool:
    return isinstance(value, str) and len(value) * 4 > most and len(value.encode("utf-8", "surrogatepass")) >= most
