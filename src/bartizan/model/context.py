"""ContextSource: another system that says something of principals, for as long as it can be believed."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bartizan.lib.urls import http_url, is_private
from bartizan.model.fields import AsTuple, Declared, Duration, Name, SecretRef

Defaults = dict[str, Any]
STAMP = "@"
"""Begins the name of the field in which tables tell how old a source's values are. No attribute's name can."""
_SHORTEST_AGE = timedelta(seconds=3)
_SHORTEST_PAUSE = timedelta(seconds=1)


class Pull(Declared):
    """Where a source's values are fetched, again and again."""

    url: str = Field(max_length=2048, description="The URL that answers with them, as JSON.")
    every: Duration = Field(default="30s", validate_default=True, description="How often they are fetched; sooner again after a failure.")
    authorization: SecretRef | None = Field(
        default=None, description="What is sent as `authorization`: a bearer token; or the header's whole value, if it holds a space."
    )

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        if http_url(value) is None:
            raise ValueError("a url is http:// or https://, with a host and without a password, such as https://hr.example.com/context")
        return value

    @field_validator("every")
    @classmethod
    def _not_too_often(cls, value: timedelta) -> timedelta:
        if value < _SHORTEST_PAUSE:
            raise ValueError("every is 1s or more")
        return value

    @model_validator(mode="after")
    def _private(self) -> "Pull":
        if self.authorization is not None and not is_private(self.url):
            raise ValueError("what is sent as authorization is sent by https:// alone")
        return self


class ContextSource(Declared):
    """Another system that says something of consumers and of other principals: HR, device management, a list of who is on call.

    What it says are values of attributes that the Gateway declares. It is live data with a time to live; what may be said, for how long it
    counts and what holds then is part of the revision.
    """

    kind: Literal["ContextSource"] = "ContextSource"
    name: Name = Field(description="The source's name.")
    attributes: Annotated[tuple[str, ...], AsTuple] = Field(
        min_length=1, max_length=50, description="The attributes that it tells, of those that the Gateway declares: it alone tells them."
    )
    pull: Pull | None = Field(default=None, description="Where its values are fetched: {url, every, authorization}.")
    file: str | None = Field(default=None, min_length=1, description="The JSON file that holds its values, followed as it changes.")
    push: Literal[True] | None = Field(default=None, description="true: it brings its values itself, by the admin API.")
    max_age: Duration = Field(default="5m", validate_default=True, description="For how long a value counts after it was said.")
    stale: Literal["deny", "keep"] | Defaults = Field(
        default="deny",
        description="What holds of a value that is older: deny: it is missing, so conditions that read it refuse; keep: it counts on; "
        "or other values, by attribute, that stand in for it.",
    )

    @field_validator("attributes")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("an attribute stands there twice")
        return value

    @field_validator("max_age")
    @classmethod
    def _not_too_short(cls, value: timedelta) -> timedelta:
        if value < _SHORTEST_AGE:
            raise ValueError("max_age is 3s or more: values are on their way for up to a second")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> "ContextSource":
        if sum(one is not None for one in (self.pull, self.file, self.push)) != 1:
            raise ValueError("give one of pull, file and push")
        if self.pull is not None and self.pull.every > self.max_age:
            raise ValueError("every is no longer than max_age: else its values would be stale most of the time")
        return self

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What stands in for values that are stale."""
        return self.stale if isinstance(self.stale, dict) else {}

    @property
    def stamp(self) -> str:
        """The field of the tables that tells how old its values are."""
        return STAMP + self.name
