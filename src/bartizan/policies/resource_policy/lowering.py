"""A document's statements as one rule: explicit deny, then allow, else deny.

What a policy reads and can't judge (a list that isn't one, a header that isn't text where characters are counted) refuses the request
whatever the statements say: a Deny that couldn't be evaluated must not let through.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction

from bartizan.condition import predicate as native
from bartizan.condition.tree import Attribute, NumberPair, Order, Present, Since, Within
from bartizan.envoy.matching import metadata, negated
from bartizan.envoy.names import PRINCIPAL
from bartizan.model.api import Api
from bartizan.policies.resource_policy import lists
from bartizan.policies.resource_policy.conditions import Test
from bartizan.policies.resource_policy.glob import Wild, matches
from bartizan.policies.resource_policy.keys import GROUPS, Key, Setting, Slot
from bartizan.policies.resource_policy.logic import Rule, every, opposite, some
from bartizan.policies.resource_policy.resources import covered
from bartizan.policies.resource_policy.statements import Statement
from bartizan.policies.resource_policy.values import ArnGlob, least_second
