"""Who may call what, told from what is compiled: for every consumer, route and method at once, and what an edit changes of it.

It reads the predicates that Envoy is given, so a policy kind needs no line here. What it can't know of a request (its time, its source, its
other headers) it leaves open, and says on which policy it hangs. It enforces nothing: Envoy does, and tests ask both.
"""

from bartizan.meaning.access import Access, Asked, Point, Verdict
from bartizan.meaning.changes import Change, Condition, Group, LimitChange, Meaning, Place, State
from bartizan.meaning.difference import difference
from bartizan.meaning.people import Person, people_of
from bartizan.meaning.who import Who
from bartizan.meaning.world import Where, World

__all__ = [
    "Access",
    "Asked",
    "Change",
    "Condition",
    "Group",
    "LimitChange",
    "Meaning",
    "Person",
    "Place",
    "Point",
    "State",
    "Verdict",
    "Where",
    "Who",
    "World",
    "difference",
    "people_of",
]
