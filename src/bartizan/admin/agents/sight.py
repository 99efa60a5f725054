"""What one agent may see: everything to a token of no team, else its team's APIs, the policies on these alone, and what called them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from bartizan.admin.teams import is_teams
from bartizan.errors import Invalid, NotFound
from bartizan.model.snapshot import Key, Resource, Snapshot
from bartizan.store.revisions import Revisions

HIDDEN = "what isn't your team's"
_MOST_LOOKED_UP = 50
"""Revisions that are read for one answer. What was judged by a further one isn't seen."""


class Sight:
    """What is seen of a snapshot, and of the records of before."""

    def __init__(self, team: str | None, snapshot: Snapshot, revisions: Revisions) -> None:
        self.team, self.snapshot = team, snapshot
        self._revisions = revisions
        self._then: dict[str, Mapping[str, str]] = {}
        self._names: re.Pattern[str] | None = None

    def resources(self) -> Iterator[Resource]:
        """Those that are seen, in order."""
        return (one for _, one in sorted(self.snapshot.resources.items()) if is_teams(self.team, one, self.snapshot))

    def resource(self, key: Key) -> Resource:
        """This one. NotFound if it isn't there, or isn't seen: both look alike."""
        one = self.snapshot.resources.get(key)
        if one is None or not is_teams(self.team, one, self.snapshot):
            raise NotFound(f"There is no {key[0]} {key[1]} that you may see.")
        return one

    def policy(self, ident: str) -> bool:
        """Whether the resource of this id, such as `Authorize/refunds`, is seen."""
        kind, _, name = ident.partition("/")
        one = self.snapshot.resources.get((kind, name))
        return self.team is None or (one is not None and is_teams(self.team, one, self.snapshot))

    def record(self, record: Mapping[str, Any]) -> bool:
        """Whether a recorded request is seen: it came to an API that is the team's, and was then. Blocks: call it in a thread."""
        if self.team is None:
            return True
        name, revision = str(record.get("api") or ""), str(record.get("revision") or "")
        api = self.snapshot.apis.get(name)
        return api is not None and api.team == self.team and self._teams_of(revision).get(name) == self.team

    def _teams_of(self, revision: str) -> Mapping[str, str]:
        """The teams of the APIs, as this revision had them."""
        if revision not in self._then:
            if len(self._then) >= _MOST_LOOKED_UP:
                return {}
            self._then[revision] = self._read(revision)
        return self._then[revision]

    def _read(self, revision: str) -> Mapping[str, str]:
        try:
            content = self._revisions.content(self._revisions.find(revision))
        except (NotFound, Invalid):
            return {}
        return teams_in(content.resources)

    def told(self, sentence: str) -> str:
        """The sentence, or what stands for it if it names what isn't seen."""
        if self.team is None:
            return sentence
        if self._names is None:
            seen = {one.key for one in self.resources()}
            words = {word for key in self.snapshot.resources.keys() - seen for word in ("/".join(key), key[1])}
            words -= {name for _, name in seen}
            self._names = re.compile(
                rf"(?<![\w-])({'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})(?![\w-])" if words else r"(?!)"
            )
        return f"It has to do with {HIDDEN}." if self._names.search(sentence) else sentence


def teams_in(resources: Mapping[Key, bytes]) -> Mapping[str, str]:
    """The teams of the APIs that a kept revision declares."""
    apis = ((name, orjson.loads(body).get("team")) for (kind, name), body in resources.items() if kind == "Api")
    return {name: str(team) for name, team in apis if team}


def own_in(resources: Mapping[Key, bytes], team: str) -> dict[Key, bytes]:
    """Those of a kept revision that are a team's: its APIs, and policies on these alone that aren't a floor of the owner."""
    teams = teams_in(resources)
    found = {}
    for key, body in resources.items():
        if key[0] == "Gateway":
            continue
        value = orjson.loads(body)
        target = value.get("target")
        api = key[1] if key[0] == "Api" else target.get("api") if isinstance(target, dict) else None
        if teams.get(str(api)) == team and not value.get("floor"):
            found[key] = body
    return found
