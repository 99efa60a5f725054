"""The exceptions carry what an HTTP answer needs."""

import pytest

from bartizan import errors


def family() -> list[type[errors.BartizanError]]:
    return [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, errors.BartizanError)]


def test_the_family_is_small_and_each_has_its_status_and_code() -> None:
    assert len(family()) <= 8
    assert {kind.__name__: kind.status for kind in family()} == {
        "BartizanError": 500,
        "NotFound": 404,
        "Conflict": 409,
        "Forbidden": 403,
        "Unauthenticated": 401,
        "Invalid": 422,
        "TooMany": 429,
        "Unavailable": 503,
    }
    assert len({kind.code for kind in family()}) == len(family())


def test_a_code_of_its_own_stays_on_the_instance() -> None:
    error = errors.Conflict("There is one already.", code="key-exists")
    assert (str(error), error.message, error.code, errors.Conflict.code) == ("There is one already.",) * 2 + ("key-exists", "conflict")


def test_invalid_holds_every_problem() -> None:
    with pytest.raises(errors.BartizanError) as caught:
        raise errors.Invalid("Two problems.", problems=("a", "b"))
    assert isinstance(caught.value, errors.Invalid)
    assert caught.value.problems == ("a", "b")
