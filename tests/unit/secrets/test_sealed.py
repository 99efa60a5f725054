"""A Secret shows itself nowhere."""

import copy
import dataclasses
import json
import pickle

import orjson
import pytest

from bartizan.secrets.sealed import Secret


@dataclasses.dataclass(frozen=True)
class Holder:
    key: Secret


def test_it_prints_as_stars_wherever_it_lands() -> None:
    secret = Secret("bz_hidden")
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>10}",
        f"{secret:>10}",
        "{}".format(*[secret]),
        repr([secret]),
        repr(Holder(secret)),
        str(dataclasses.asdict(Holder(secret))),
    ]
    assert all("***" in text and "hidden" not in text for text in shown)
    assert secret.reveal() == "bz_hidden"


@pytest.mark.parametrize("dump", [pickle.dumps, orjson.dumps, json.dumps, "".join, bytes])
def test_it_cannot_be_dumped(dump) -> None:
    with pytest.raises(TypeError):
        dump([Secret("bz_hidden")])


def test_equal_texts_are_equal_secrets_and_copies_stay_secret() -> None:
    assert Secret("ä") == Secret("ä") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert copy.deepcopy(Secret("a")) == copy.copy(Secret("a")) == Secret("a")
