"""An invariant as people write it: what must hold for everyone, on every route, with every method, whenever and from wherever.

`never` says that nobody of these gets there; `only`, that nobody but these does. Both name who, and where: a path means all that lies
below it, too. Who is a CEL condition over `principal`, as `Authorize` takes it, `anonymous` for callers without a credential, or `anyone`.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from bartizan.model.fields import Declared, Host, Method, UrlPath

ANONYMOUS, ANYONE = "anonymous", "anyone"


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class Reach(Declared):
    """Who, and where."""

    who: str = Field(min_length=1, max_length=10_000, description="A CEL condition over principal, `anonymous`, or `anyone`.")
    path: UrlPath = Field(default="/", description="A path, with all that lies below it; by default all.")
    method: Annotated[tuple[Method, ...], BeforeValidator(_listed)] = Field(default=(), description="A method or several; by default any.")
    host: Host | None = Field(default=None, description="A host; by default all.")


class Invariant(Declared):
    """What must always hold."""

    name: str = Field(min_length=1, max_length=200, description="What it says, as a sentence: unique in its file.")
    never: Reach | None = Field(default=None, description="Nobody of these is ever let through there.")
    only: Reach | None = Field(default=None, description="Nobody but these is ever let through there.")

    @model_validator(mode="after")
    def _one(self) -> "Invariant":
        if (self.never is None) == (self.only is None):
            raise ValueError("an invariant says either `never` or `only`")
        if self.only is not None and self.only.who == ANYONE:
            raise ValueError("`only` anyone forbids nothing")
        return self

    @property
    def reach(self) -> Reach:
        """Who, and where."""
        found = self.never or self.only
        if found is None:
            raise ValueError("an invariant without never and only")
        return found

    @property
    def verb(self) -> str:
        """`never` or `only`."""
        return "never" if self.never is not None else "only"
