"""Who asks: an emergency is never implied."""

from bartizan.rollout.asking import By


def test_what_isnt_said_is_the_harmless_thing() -> None:
    assert By("ann") == By("ann", "", "local", emergency=False)
