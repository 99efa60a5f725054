"""The text of keys: random, spread over shards, and told from typos."""

from collections import Counter

import pytest

from bartizan.identity.key_text import OTHER, SHARDS, is_wellformed, key_id, key_text, shard_of


def test_a_new_key_is_wellformed_and_no_two_are_alike() -> None:
    keys = {key_text() for _ in range(2000)}
    assert len(keys) == 2000
    assert all(is_wellformed(key) and len(key) == 40 and key.startswith("bz_") and key[3:].isalnum() and key.isascii() for key in keys)


def test_keys_spread_over_all_shards() -> None:
    counts = Counter(shard_of(key_text()) for _ in range(32 * 200))
    assert set(counts) == set(SHARDS)
    assert max(counts.values()) < 2 * min(counts.values())


def test_the_form_is_fixed() -> None:
    """Keys are out there: these have to stay wellformed for as long as there are keys."""
    assert is_wellformed("bz_a" + "0" * 30 + "4VMpbb")
    assert not is_wellformed("bz_a" + "0" * 30 + "4VMpbc")


def test_every_typo_is_noticed() -> None:
    key = key_text()
    for at in range(len(key)):
        for other in "0aZ_;":
            assert other == key[at] or not is_wellformed(key[:at] + other + key[at + 1 :])
        assert not is_wellformed(key[:at] + key[at + 1 :])
    swapped = key[:10] + key[11] + key[10] + key[12:]
    assert swapped == key or not is_wellformed(swapped)


@pytest.mark.parametrize("text", ["", "b", "bz_", "bz_a", "BZ_a", "bz_A", "bz_0", "bz_1", "bz_!", "xbz_a", " bz_a", "sk-live", "bz_ä"])
def test_what_is_no_key_is_not_wellformed(text: str) -> None:
    assert not is_wellformed(text)
    assert not is_wellformed(text.ljust(40, "0"))


@pytest.mark.parametrize(
    ("text", "shard"), [("bz_abc", "a"), ("bz_7", "7"), ("bz_", OTHER), ("", OTHER), ("bz_A", OTHER), ("xx_a", OTHER), ("bz-a", OTHER)]
)
def test_the_shard_is_the_character_behind_the_prefix(text: str, shard: str) -> None:
    assert shard_of(text) == shard


def test_an_id_is_short_public_and_not_made_of_the_key() -> None:
    ids = {key_id() for _ in range(2000)}
    assert len(ids) == 2000
    assert all(ident.startswith("key_") and len(ident) == 16 and set(ident[4:]) <= set(SHARDS) for ident in ids)
