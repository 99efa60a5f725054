"""Why a request was let through or refused, or would be. What callers sent is data in it, never an instruction."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel, Field, IPvAnyAddress, JsonValue, field_validator

from bartizan.admin.answers import PRINTABLE, documented
from bartizan.admin.asked import The, Viewer
from bartizan.admin.bodies import JsonRoute
from bartizan.admin.plane import HypotheticalRequest
from bartizan.errors import Invalid
from bartizan.model.places import place_text

RequestId = Annotated[str, Path(pattern=r"^[0-9A-Za-z_-]{1,64}$", description="From the answer's x-request-id.")]
Text = Annotated[str, Field(max_length=512, pattern=PRINTABLE)]
Attribute = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Name = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9-]*$")]
_PRINTED = r"^[!-~]+$"


class Asked(BaseModel):
    """A request that hasn't happened, and who sends it."""

    path: str = Field(min_length=1, max_length=4096, pattern=_PRINTED, description="With its query.")
    method: str = Field(default="GET", pattern=r"^[A-Z]{1,20}$")
    host: str = Field(default="localhost", min_length=1, max_length=253, pattern=_PRINTED)
    headers: dict[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")], Text] = Field(default_factory=dict, max_length=64)
    size: int = Field(default=0, ge=0, le=2**31, description="The announced size of its body.")
    consumer: Name = Field(default="", description="Who calls: a Consumer, with an API key.")
    issuer: Name = Field(default="", description="Who calls: someone with a good token of this Issuer.")
    subject: Text = Field(default="", description="The token's subject.")
    claims: dict[str, JsonValue] = Field(default_factory=dict, max_length=64, description="The token's claims.")
    ca: Name = Field(default="", description="Who calls: someone with a client certificate of this CA.")
    san: Text = Field(default="", description="The certificate's subject alternative name.")
    fingerprint: str = Field(default="", pattern=r"^([0-9a-f]{64})?$", description="The certificate's SHA-256.")
    device: str = Field(default="", max_length=63, description="The Device that it comes from.")
    at: AwareDatetime | None = Field(default=None, description="When; by default now.")
    source: IPvAnyAddress | None = Field(default=None, description="The caller's address; by default 127.0.0.1.")
    place: dict[Name, str | bool | int] = Field(
        default_factory=dict, max_length=16, description="What databases tell of its address, as `country`: none is asked here."
    )
    context: dict[Attribute, JsonValue] | None = Field(
        default=None, max_length=64, description="What context sources say of who calls, by attribute; by default what they say now."
    )
    listener: Name = Field(default="", description="The listener it comes to; by default the first.")
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{1,64}$", description="By default what is active.")

    @field_validator("place")
    @classmethod
    def _tellable(cls, value: dict[str, str | bool | int]) -> dict[str, str | bool | int]:
        return {name: place_text(name, one) for name, one in value.items()}


class Decided(BaseModel):
    """A decision with all that there is to say of it."""

    record: dict[str, Any] = Field(description="What the gateway wrote down of the request, or would.")
    decision: dict[str, Any] = Field(description="Whether it was refused, by what, why, and what each policy said.")
    remedy: list[str] = Field(description="What would have let it through.")
    notes: list[str]
    hypothetical: bool
    revision: str = Field(description="Whose policies are told.")
    policies: list[dict[str, Any]] = Field(description="Those that cover the request, in the order of the chain, as they are declared.")


router = APIRouter(tags=["explain"], route_class=JsonRoute)


@router.get("/v1/explain/{request_id}", operation_id="explain", responses=documented(404))
async def happened(plane: The, request_id: RequestId, _: Viewer) -> Decided:
    """Explains the decision on a request that has happened."""
    return Decided(**await plane.explained(request_id))


@router.post("/v1/explain", operation_id="explainHypothetical", responses=documented(404))
async def hypothetical(plane: The, wanted: Asked, _: Viewer) -> Decided:
    """Explains what would be decided on a request: a scratch instance of the real Envoy answers."""
    if sum(map(bool, (wanted.consumer, wanted.issuer, wanted.ca))) > 1:
        raise Invalid("Name one caller: a consumer, an issuer or a CA.", code="several-callers")
    if bool(wanted.issuer) != bool(wanted.subject) or (wanted.ca and not (wanted.san or wanted.fingerprint)):
        raise Invalid("A token needs an issuer and a subject; a certificate a CA, and a san or a fingerprint.", code="caller-incomplete")
    fields = wanted.model_dump(exclude={"headers", "source", "revision", "at"})
    request = HypotheticalRequest(**fields, headers=tuple(wanted.headers.items()), at=wanted.at, source=str(wanted.source or "127.0.0.1"))
    return Decided(**await plane.trials.explain(request, wanted.revision))
