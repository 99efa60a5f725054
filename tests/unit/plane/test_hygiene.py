"""Findings are made once for each revision, and name their resources."""

import pytest

from bartizan.compile import Compiled
from bartizan.errors import Unavailable
from bartizan.plane.hygiene import Hygiene
from tests.unit.plane.test_desk import CALLERS, FILES, compiled

WIDE = "---\nkind: Authorize\nname: everyone\ntarget: {api: orders}\nallow: 'true'\n"


async def test_they_are_those_of_what_is_active() -> None:
    now: list[Compiled] = []
    hygiene = Hygiene(lambda: now[-1] if now else None)
    with pytest.raises(Unavailable):
        await hygiene.findings()
    now.append(compiled(FILES, CALLERS % ""))
    assert await hygiene.findings() == ()
    now.append(compiled(FILES, CALLERS % "", WIDE))
    found = await hygiene.findings()
    assert [(one.code, one.at.path) for one in found] == [("rule-allows-everything", "Authorize/everyone")]
    assert await hygiene.findings() is found
