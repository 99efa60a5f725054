"""What all policies have in common: a name, a target, a mode, and whether they are the owner's floor."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from bartizan.model.fields import AsTuple, Declared, Method, Name, UrlPath

Mode = Literal["enforce", "shadow", "disabled"]


def within(path: str, prefix: str) -> bool:
    """Whether `path` is `prefix` or lies below it, in whole segments."""
    return prefix in {"/", path} or path.startswith(prefix + "/")


class Target(Declared):
    """What a policy covers. An empty target covers every API; each field narrows it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    api: Name | None = Field(default=None, description="The API; by default every API.")
    listener: Name | None = Field(default=None, description="The listener, for policies of listeners.")
    paths: Annotated[tuple[UrlPath, ...], AsTuple] = Field(
        default=(), description="Paths, in whole segments, with what lies below; by default all."
    )
    methods: Annotated[tuple[Method, ...], AsTuple] = Field(default=(), description="Methods; by default all.")
    exclude: Annotated[tuple[UrlPath, ...], AsTuple] = Field(
        default=(), alias="except", description="Paths left out, with what lies below."
    )


class Policy(Declared):
    """A policy of any kind. A kind adds its own fields and says how it compiles (`bartizan.policies`)."""

    kind: str
    name: Name = Field(description="The policy's name, shown in refusals' records and in `explain`.")
    target: Target = Field(default=Target(), description="What the policy covers.")
    mode: Mode = Field(default="enforce", description="enforce: it decides; shadow: it only reports; disabled: it isn't there.")
    floor: bool = Field(
        default=False,
        description="Set by the gateway's owner: no `except`, no narrower policy and no mode of an API's owner takes it away.",
    )
    description: str = Field(default="", max_length=1000, description="Why it exists.")

    @property
    def id(self) -> str:
        """Kind and name, as verdicts and records name it: `Authorize/refunds`."""
        return f"{self.kind}/{self.name}"
