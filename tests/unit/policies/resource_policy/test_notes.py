"""What reading a document collects."""

from bartizan.condition import Schema
from bartizan.policies.resource_policy.notes import Notes, Refused, no_variable, too_large


def _notes() -> Notes:
    return Notes(Schema())


def test_an_attempt_that_is_refused_is_noted_with_its_place() -> None:
    notes = _notes()

    def read(text: str) -> str:
        if text == "bad":
            raise Refused("a-code", "a message", "a hint")
        return text.upper()

    assert notes.attempt(("document", "Id"), read, "good") == "GOOD"
    assert notes.attempt(("document", "Id"), read, "bad") is None
    (fault,) = notes.faults
    assert (fault.path, fault.code, fault.message, fault.hint) == (("document", "Id"), "a-code", "a message", "a hint")


def test_one_value_and_a_list_of_them_are_read_alike() -> None:
    notes = _notes()
    assert list(notes.items("a", ("x",))) == [(("x",), "a")]
    assert list(notes.items(["a", "b"], ("x",))) == [(("x", 0), "a"), (("x", 1), "b")]
    assert list(notes.items(False, ("x",))) == [(("x",), False)]
    assert not notes.faults


def test_nothing_is_a_mistake() -> None:
    for value in ([], {}, None):
        notes = _notes()
        assert not list(notes.items(value, ("document", "Action")))
        assert [fault.code for fault in notes.faults] == ["document-empty"]


def test_texts_are_texts() -> None:
    notes = _notes()
    assert list(notes.texts(["a", 5], ("x",))) == [(("x", 0), "a")]
    assert [(fault.code, fault.path) for fault in notes.faults] == [("document-type", ("x", 1))]


def test_refusals_say_what_to_do() -> None:
    for refused in (no_variable("${x}", True), no_variable("${x}", False), too_large()):
        assert refused.code
        assert refused.hint.endswith(".")
