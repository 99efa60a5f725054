"""The whole family of exceptions: what Bartizan cannot do, each with an HTTP status and a code.

    BartizanError
    ├── NotFound 404         ├── Invalid 422 (holds Problems)
    ├── Conflict 409         ├── TooMany 429
    ├── Forbidden 403        └── Unavailable 503
    ├── Unauthenticated 401

What an operator declared wrongly is a Problem (data), not an exception; anything else that is raised is a bug.
A message says what is wrong and what to do about it, in a sentence a user can act on, and never holds a secret.
"""

from typing import ClassVar


class BartizanError(Exception):
    """Something that was asked for cannot be done. Raise one of its children."""

    status: ClassVar[int] = 500
    code: str = "internal"

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        if code:
            self.code = code


class NotFound(BartizanError):
    """What is named doesn't exist."""

    status = 404
    code = "not-found"


class Conflict(BartizanError):
    """It was changed by someone else, or exists already."""

    status = 409
    code = "conflict"


class Forbidden(BartizanError):
    """The caller is known and may not do this."""

    status = 403
    code = "forbidden"


class Unauthenticated(BartizanError):
    """The caller isn't known."""

    status = 401
    code = "unauthenticated"


class Invalid(BartizanError):
    """What was declared is wrong: `problems` says where and why, all of it at once."""

    status = 422
    code = "invalid"

    def __init__(self, message: str, *, problems: tuple[object, ...] = (), code: str = "") -> None:
        super().__init__(message, code=code)
        self.problems = problems


class TooMany(BartizanError):
    """Too much was asked for, or too often."""

    status = 429
    code = "too-many"


class Unavailable(BartizanError):
    """It cannot be done now: something that is needed is missing, broken or not ready."""

    status = 503
    code = "unavailable"
