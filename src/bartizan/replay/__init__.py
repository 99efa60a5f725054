"""Replay: recorded requests judged again by a candidate, in a scratch instance, and compared with what was decided then."""

from bartizan.replay.candidate import Candidate
from bartizan.replay.run import Replay
from bartizan.replay.tally import Group, Seen, Tally, Where
from bartizan.replay.window import Records, Window

__all__ = ["Candidate", "Group", "Records", "Replay", "Seen", "Tally", "Where", "Window"]
