"""A question as bytes of HTTP/1.1: the request itself, and in headers of ours what production takes from elsewhere."""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from bartizan.envoy import names
from bartizan.identity.claims import claim_text
from bartizan.identity.credentials import view
from bartizan.identity.principal import CA_HEADER, CERTIFICATE_HEADER
from bartizan.identity.table import ConsumerView, fields_of, identity, order_mark
from bartizan.model.consumer import Consumer, Issuer
from bartizan.model.snapshot import Snapshot
from bartizan.scratch.frame import H_GIVEN
from bartizan.scratch.question import Certificate, Claim, Identified, Question, Token
from bartizan.scratch.wire import Sent

_METHOD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_UNSENDABLE = re.compile(r"[\r\n\0]")
_OURS = (names.PREFIX, "x-envoy-")
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "trailer", "expect"})
_UNKNOWN_KEY = "-"
_GROUPS = "groups"


class Unaskable(ValueError):
    """A question that can't be put: it says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What of a gateway decides how a question is put."""

    attributes: Mapping[str, str]
    issuers: Mapping[str, Issuer]
    key_header: str
    """A header that may hold an API key; empty if there is none."""
    key_cookie: str
    secure: frozenset[str]
    """The listeners that speak TLS."""
    proxied: frozenset[str]
    """The listeners that believe proxies."""
    places: frozenset[str]
    """What the databases tell."""
    certificates: Mapping[str, Consumer]
    """Who lists a client certificate, by what it is called in the table of keys."""
    contextual: frozenset[str] = frozenset()
    """The attributes that context sources tell."""


def setting_of(snapshot: Snapshot) -> Setting:
    """The setting of a gateway."""
    gateway = snapshot.gateway
    headers, cookies = gateway.api_keys.headers, gateway.api_keys.cookies
    return Setting(
        attributes=gateway.attributes,
        issuers=snapshot.issuers,
        key_header=headers[0] if headers else "",
        key_cookie=cookies[0] if cookies else "",
        secure=frozenset(_secure(snapshot)),
        proxied=frozenset(one.name for one in gateway.listeners if one.trusted_proxies),
        places=frozenset(gateway.places.told()),
        certificates=dict(_certificates(snapshot)),
        contextual=frozenset(snapshot.contextual()),
    )


def _secure(snapshot: Snapshot) -> Iterator[str]:
    for policy in snapshot.policies:
        if policy.kind == "Tls" and policy.mode == "enforce":
            yield from (one.name for one in snapshot.gateway.listeners if policy.target.listener in {None, one.name})


def _certificates(snapshot: Snapshot) -> Iterator[tuple[str, Consumer]]:
    for consumer in snapshot.consumers.values():
        for credential in consumer.credentials:
            if credential.certificate is not None:
                yield names.certificate_key(credential.certificate.ca, credential.certificate.san), consumer
            if credential.fingerprint is not None:
                yield names.fingerprint_key(credential.fingerprint), consumer


def sent(question: Question, setting: Setting, listener: str) -> Sent:
    """The question as it travels. Unaskable if it can't be put."""
    if not _METHOD.fullmatch(question.method) or question.method == "CONNECT":
        raise Unaskable(f"{question.method!r} isn't a method that can be asked for")
    if not question.path or question.size < 0:
        raise Unaskable("a request has a path, and no negative size")
    lines = [f"{question.method} {question.path} HTTP/1.1", f"host: {question.host}"]
    lines += [f"{name}: {value}" for name, value in _headers(question, setting, listener)]
    if question.size:
        lines.append(f"content-length: {question.size}")
    text = "\r\n".join([*lines, "", ""])
    if len(_UNSENDABLE.findall(text)) > 2 * len(lines) + 2:
        line = next(line for line in lines if _UNSENDABLE.search(line))
        raise Unaskable(f"this holds a line break or a NUL, which HTTP can't carry: {line!r}")
    return Sent(text.encode("utf-8", "surrogateescape"), whole=not question.size, bodiless=question.method == "HEAD")


def _headers(question: Question, setting: Setting, listener: str) -> Iterator[tuple[str, str]]:
    source = _address(question.source)
    yield from _passed_on(question, setting, listener, source)
    yield names.H_SOURCE, source
    yield names.H_NOW, _moment(question.at)
    if listener in setting.secure:
        yield names.H_SECURE, "true"
    if question.ja4:
        yield names.H_JA4, question.ja4
    if question.device:
        yield names.H_DEVICE, question.device
        yield names.H_TRUSTED, "true" if question.device_state == "trusted" else "false"
        if question.device_state == "lost":
            yield names.H_REFUSAL, "lost-device"
    for name, told in question.place:
        if f"source.{name}" not in setting.places:
            raise Unaskable(f"no database of the Gateway tells source.{name}")
        yield names.place_header(name), told
    yield from _principal(question, setting)


def _passed_on(question: Question, setting: Setting, listener: str, source: str) -> Iterator[tuple[str, str]]:
    """The headers as they are when the gateway's own Envoy has taken out and added what it does before any filter is asked."""
    proxied = listener in setting.proxied
    made = {"x-forwarded-for": source, "x-forwarded-proto": "https" if listener in setting.secure else "http"}
    if not proxied:
        made["x-envoy-external-address"] = source
    for name, value in question.headers:
        lower = name.lower()
        _check(name, lower)
        if lower == "x-forwarded-for":
            made[lower] = f"{value},{made[lower]}"
        elif lower == "x-forwarded-proto":
            made[lower] = value if proxied else made[lower]
        elif not lower.startswith(_OURS):
            yield name, value
    yield from made.items()


def _check(name: str, lower: str) -> None:
    if lower in _FRAMING:
        raise Unaskable(f"the header {name} can't be given: a question has a host and a size of its own")
    if not _METHOD.fullmatch(name):
        raise Unaskable(f"{name!r} isn't the name of a header")


@lru_cache(maxsize=65_536)
def _address(text: str) -> str:
    try:
        found = ip_address(text)
    except ValueError:
        raise Unaskable(f"{text!r} isn't an IP address") from None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def _moment(at: datetime | None) -> str:
    if at is None:
        at = datetime.now(UTC)
    if at.tzinfo is None:
        raise Unaskable("the time needs a time zone, such as 2026-11-23T09:00:00+01:00")
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _principal(question: Question, setting: Setting) -> Iterator[tuple[str, str]]:
    given = list(_given(question, setting))
    if given:
        if blank := next((value for _, value in given if value != value.strip(" \t")), None):
            raise Unaskable(f"what is known of the principal begins or ends with a blank, which no header can: {blank!r}")
        yield from given
        yield H_GIVEN, ",".join(name for name, _ in given)
    elif question.principal is not None and (setting.key_header or setting.key_cookie):
        yield (setting.key_header, _UNKNOWN_KEY) if setting.key_header else ("cookie", f"{setting.key_cookie}={_UNKNOWN_KEY}")


def _given(question: Question, setting: Setting) -> Iterator[tuple[str, str]]:
    """The headers into which production turns a good credential. None for one that isn't good."""
    match question.principal:
        case ConsumerView() as consumer:
            yield names.H_PRINCIPAL, _identity(consumer.beside(question.context), setting)
        case Token() as token:
            yield from _token(token, setting)
            yield from _said(question.context)
        case Certificate() as certificate:
            yield from _certificate(certificate, question, setting)
        case Identified() as known:
            yield from _identified(known, setting)


def _identified(known: Identified, setting: Setting) -> Iterator[tuple[str, str]]:
    """The headers whose texts become just what was noted of the principal."""
    noted = {name: text for name, text in known.noted if name == _GROUPS or name in setting.attributes}
    if known.method == "jwt":
        issuer = setting.issuers.get(known.issuer)
        if issuer is None or not known.id.startswith(f"{issuer.issuer}|"):
            raise Unaskable(f"there is no Issuer {known.issuer!r} of such tokens")
        yield names.subject_header(issuer.name), known.id.removeprefix(f"{issuer.issuer}|")
        yield from (_PROVEN[text] for name, text in known.noted if name == "bound" and text in _PROVEN)
        for name, text in noted.items():
            is_list = (
                name == _GROUPS or setting.attributes[name] == "list" or (setting.attributes[name] == "words" and text.startswith("["))
            )
            yield names.claim_header(name), base64.b64encode(text.encode()).decode() if is_list else text
        return
    if known.method == "mtls":
        yield CA_HEADER, known.issuer
    if known.method == "mtls" and "|" in known.id:
        yield CERTIFICATE_HEADER, known.id
    else:
        yield names.H_PRINCIPAL, _entry(known.id, noted, setting)


def _entry(consumer: str, noted: Mapping[str, str], setting: Setting) -> str:
    """A consumer's entry in the table of keys, with a `-` for the id of its key."""
    texts = [{"id": consumer, "key": "-"}.get(name, noted.get(name, "")) for name in fields_of(setting.attributes)]
    if any(";" in text for text in texts):
        raise Unaskable("what the record notes of the principal holds a ';', which no consumer's attribute can")
    return order_mark(setting.attributes) + ";".join(texts)


def _said(context: Mapping[str, Claim]) -> Iterator[tuple[str, str]]:
    """What context sources say of a principal that is no consumer: as if its token told it."""
    for name, value in context.items():
        if text := claim_text(value):
            yield names.claim_header(name), text


def _certificate(certificate: Certificate, question: Question, setting: Setting) -> Iterator[tuple[str, str]]:
    if not certificate.san and not certificate.fingerprint:
        raise Unaskable("a certificate has a subject alternative name or a fingerprint")
    by_name = setting.certificates.get(names.certificate_key(certificate.ca, certificate.san))
    consumer = setting.certificates.get(names.fingerprint_key(certificate.fingerprint), by_name)
    if consumer is None:
        yield CA_HEADER, certificate.ca
        yield CERTIFICATE_HEADER, f"{certificate.ca}|{certificate.san}"
        yield from _said(question.context)
    elif consumer.counts(question.at or datetime.now(UTC)):
        yield CA_HEADER, certificate.ca
        yield names.H_PRINCIPAL, _identity(view(consumer).beside(question.context), setting)


def _identity(consumer: ConsumerView, setting: Setting) -> str:
    """A consumer's identity, with a `-` for the id of its key."""
    try:
        return "-".join(identity(consumer, setting.attributes))
    except ValueError as error:
        raise Unaskable(str(error)) from None


_PROVEN = {"certificate": (names.H_CONFIRMATION, "-"), "dpop": (names.H_PROOF, "dpop")}
_SHOWN = {"x5t#S256": _PROVEN["certificate"], "jkt": _PROVEN["dpop"]}
"""What proves that a token is its caller's own, by the claim in `cnf` that binds it."""


def _token(token: Token, setting: Setting) -> Iterator[tuple[str, str]]:
    """What the token filter makes of a good token."""
    issuer = setting.issuers.get(token.issuer)
    if issuer is None:
        raise Unaskable(f"there is no Issuer {token.issuer!r}")
    if not token.subject:
        raise Unaskable("a token has a subject")
    yield names.subject_header(issuer.name), token.subject
    confirmation = token.claims.get("cnf")
    if isinstance(confirmation, Mapping):
        yield from (shown for claim, shown in _SHOWN.items() if confirmation.get(claim))  # with what it is bound to
    claims = {**issuer.attributes, **({"groups": issuer.groups} if issuer.groups else {})}
    for attribute, claim in claims.items():
        text = claim_text(token.claims.get(claim))
        if text:
            yield names.claim_header(attribute), text
