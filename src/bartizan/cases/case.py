"""A case as people write it: a request that hasn't happened, and what is to become of it.

A case reads as a sentence: its name, what is given, what is expected. `given` speaks the words of `bartizan explain`, so that a question
from the command line is a case as soon as it is written down; only who asks is one field, `principal`, so that a case can replace
the caller that its document shares without naming what it isn't. The commonest caller is a consumer, so a plain text is one; who
calls without a credential is `nobody`, a word, because an empty field may be a caller that was forgotten. What the cases of a
document share is written once, above them, and holds field by field: what a case gives itself replaces it whole.
"""

from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from bartizan.cases.invariant import Invariant
from bartizan.model.fields import AsTuple, Declared, Name, Size
from bartizan.model.places import place_text

Expected = Literal["allow", "refuse"]
Truth = bool | Literal["unknown"]
NOBODY = "nobody"
_WAYS = ("consumer", "issuer", "ca")
_TOGETHER = (("issuer", "subject"), ("subject", "issuer"), ("claims", "issuer"), ("san", "ca"), ("fingerprint", "ca"))


def _moment(value: Any) -> datetime:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ValueError("a time has its zone, such as 2026-11-23T09:00:00+01:00")
    return found


def _values(value: Any) -> Any:
    """Headers by their names, each a tuple of values: one that is written once, and one that comes several times."""
    if not isinstance(value, dict):
        return value
    return {name: tuple(one) if isinstance(one, list) else (one,) for name, one in value.items()}


def _caller(value: Any) -> Any:
    if value is None:
        raise ValueError(f"write `principal: {NOBODY}` for a request without a credential")
    return None if value == NOBODY else {"consumer": value} if isinstance(value, str) else value


def _located(value: Any) -> Any:
    return {"address": _an_address(value)} if isinstance(value, str) else value


def _an_address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError(f"{value!r} isn't an IP address") from None


def _some(value: Any) -> Any:
    # A least length of the field would count only the cases that are good.
    if value == []:
        raise ValueError("there are no cases here")
    return value


class Caller(Declared):
    """Who asks: a consumer with an API key, someone with a good token, or someone with a good client certificate."""

    consumer: str | None = Field(default=None, description="A Consumer, with an API key.")
    issuer: str | None = Field(default=None, description="The Issuer of a good token.")
    subject: str | None = Field(default=None, min_length=1, description="The token's subject.")
    claims: dict[str, Any] = Field(default_factory=dict, description="The token's claims, by the names that they have in the token.")
    ca: str | None = Field(default=None, description="The CA of a good client certificate, as the Tls policy calls it.")
    san: str | None = Field(default=None, min_length=1, description="The certificate's subject alternative name.")
    fingerprint: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="The certificate's SHA-256, in hex.")

    @field_validator("claims")
    @classmethod
    def _in_json(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            orjson.dumps(value)
        except TypeError as error:
            raise ValueError(f"a token can't hold these claims: {error}") from None
        return value

    @model_validator(mode="after")
    def _one_way(self) -> "Caller":
        given = self.model_fields_set
        ways = [way for way in _WAYS if way in given]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} are several callers: name one")
        for one, other in _TOGETHER:
            if one in given and other not in given:
                raise ValueError(f"{one} goes with {other}")
        if not ways:
            raise ValueError("a caller is a consumer, an issuer with a subject, or a ca with a san or a fingerprint")
        if "ca" in given and not given & {"san", "fingerprint"}:
            raise ValueError("ca goes with san or fingerprint")
        return self


class Device(Declared):
    """What the caller calls with, as far as it isn't told by headers."""

    ja4: str = Field(default="", description="The fingerprint of its TLS: `device.ja4`. Its type follows from the header user-agent.")
    id: Name | None = Field(default=None, description="The Device that it is. Whether it is trusted is as the Device says.")

    @model_validator(mode="after")
    def _something(self) -> "Device":
        if not self.ja4 and self.id is None:
            raise ValueError("a device is {id: NAME}, {ja4: FINGERPRINT}, or both")
        return self


class Source(Declared):
    """Where a request comes from: an address, and what databases tell of it. None is asked in a test, so what isn't given isn't known; of
    truths, isn't so."""

    address: Annotated[str, AfterValidator(_an_address)] = Field(default="127.0.0.1", description="The caller's address.")
    country: str | None = Field(default=None, description="`source.country`, a code such as DE.")
    region: str | None = Field(default=None, description="`source.region`.")
    city: str | None = Field(default=None, description="`source.city`.")
    asn: int | None = Field(default=None, description="`source.asn`, the number of its network.")
    operator: str | None = Field(default=None, description="`source.operator`.")
    anonymous: Truth | None = Field(default=None, description="`source.anonymous`: true, false or unknown.")
    hosting: Truth | None = Field(default=None, description="`source.hosting`.")
    vpn: Truth | None = Field(default=None, description="`source.vpn`.")
    tor: Truth | None = Field(default=None, description="`source.tor`.")
    proxy: Truth | None = Field(default=None, description="`source.proxy`.")

    @model_validator(mode="after")
    def _tellable(self) -> "Source":
        self.place()
        return self

    def place(self) -> tuple[tuple[str, str], ...]:
        """What databases tell, as texts by name. ValueError for what none can."""
        told = self.model_dump(exclude={"address"}, exclude_none=True)
        return tuple((name, place_text(name, value)) for name, value in told.items())


class Given(Declared):
    """A request, and what can't be known from it: the words of `bartizan explain`."""

    principal: Annotated[Caller | None, BeforeValidator(_caller)] = Field(
        default=None, description="Who asks: a Consumer's name, `nobody`, or {issuer, subject, claims} or {ca, san, fingerprint}."
    )
    method: str = Field(default="GET", description="Its method.")
    path: str = Field(default="", min_length=1, description="Its path, with its query.")
    host: str = Field(default="localhost", min_length=1, description="The host it names.")
    headers: Annotated[dict[str, tuple[str, ...]], BeforeValidator(_values)] = Field(
        default_factory=dict, description="Its headers: each a text, or a list for one that comes several times."
    )
    size: Size = Field(default=0, ge=0, description="The announced size of its body.")
    source: Annotated[Source, BeforeValidator(_located)] = Field(
        default=Source(), description="Where it comes from: an address, or {address, country, asn, anonymous, ...}."
    )
    listener: str = Field(default="", description="The listener it comes to; by default the first.")
    at: Annotated[datetime | None, BeforeValidator(_moment)] = Field(default=None, description="When, with a zone; by default now.")
    device: Device | None = Field(default=None, description="What the caller calls with.")
    context: dict[str, Any] = Field(
        default_factory=dict,
        description="What context sources say of who asks, by attribute. None is asked in a test: the rest is missing.",
    )

    def over(self, shared: "Given") -> "Given":
        """This, with what it doesn't say itself taken from what is shared."""
        return shared.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class Case(Declared):
    """One case: what is given and what is expected."""

    name: str = Field(min_length=1, max_length=200, description="What it shows, as a sentence: unique in its file.")
    given: Given = Field(default=Given(), description="The request.")
    expect: Expected = Field(description="allow: it is let through; refuse: it is refused.")
    by: str | None = Field(default=None, description="What is to refuse it: a policy such as Authorize/refunds, or `default deny`.")
    status: int | None = Field(default=None, ge=300, le=599, description="The status it is to be refused with.")
    shadow: dict[str, Expected] = Field(default_factory=dict, description="What policies in shadow are to say of it, by their ids.")

    @model_validator(mode="after")
    def _of_a_refusal(self) -> "Case":
        if self.expect == "allow":
            for name in ("by", "status"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} goes with `expect: refuse`: the upstream isn't asked, so only a refusal has one")
        return self


class Suite(Declared):
    """The cases and invariants of a document, and what its cases share."""

    given: Given = Field(default=Given(), description="What its cases share.")
    cases: Annotated[tuple[Case, ...], AsTuple, BeforeValidator(_some)] = Field(default=(), description="The cases.")
    invariants: Annotated[tuple[Invariant, ...], AsTuple, BeforeValidator(_some)] = Field(default=(), description="What always holds.")

    @model_validator(mode="after")
    def _something(self) -> "Suite":
        if not self.cases and not self.invariants:
            raise ValueError("there are neither `cases` nor `invariants` here")
        return self
