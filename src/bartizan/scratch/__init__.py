"""A scratch instance: the real Envoy with the real compiled configuration, asked about requests that haven't happened."""

from bartizan.scratch.instance import Scratch
from bartizan.scratch.question import Certificate, Identified, Principal, Question, Token, UnknownKey
from bartizan.scratch.request import Unaskable

__all__ = ["Certificate", "Identified", "Principal", "Question", "Scratch", "Token", "Unaskable", "UnknownKey"]
