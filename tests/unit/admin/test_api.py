"""The published document says what the operations do."""

import pytest
from fastapi import FastAPI

from bartizan.admin.access import Access
from bartizan.admin.answers import EVERYWHERE, MEDIA
from bartizan.admin.api import api, document


class Nothing:
    """Stands where a document needs no more."""

    def refused(self, event: object) -> None:
        """Nobody is refused by a document."""


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return api(Nothing(), Access(Nothing(), local=False))  # type: ignore[arg-type]


def test_every_operation_tells_of_the_answers_that_all_may_give(app: FastAPI) -> None:
    told = document(app)
    assert told["openapi"] == "3.1.0"
    operations = [one for path in told["paths"].values() for one in path.values()]
    assert len(operations) >= 21
    assert len({one["operationId"] for one in operations}) == len(operations)
    for one in operations:
        assert {str(status) for status in EVERYWHERE} < set(one["responses"])
        assert ("requestBody" in one) == ("415" in one["responses"]) == ("400" in one["responses"])
        for status, answer in one["responses"].items():
            media = list(answer["content"])
            assert media == (["application/json"] if status.startswith("2") else [MEDIA]), (one["operationId"], status)


def test_every_reference_in_the_document_leads_somewhere(app: FastAPI) -> None:
    told = document(app)
    schemas = told["components"]["schemas"]

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values())) if value else own
        return set().union(*map(references, value)) if isinstance(value, list) and value else set()

    for one in references(told):
        assert one.removeprefix("#/components/schemas/") in schemas, one
    assert all("." not in name and "__" not in name for name in schemas)
