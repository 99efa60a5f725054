"""Lets through what an AWS resource policy allows: the documents of Amazon API Gateway, as they are.

```yaml
kind: ResourcePolicy
name: orders-resource-policy
target: {api: orders}
document:
  Version: "2012-10-17"
  Statement:
    - Sid: Callers
      Effect: Allow
      Principal: {AWS: "arn:aws:iam::edge:root"}
      Action: execute-api:Invoke
      Resource: execute-api:/*
    - Sid: RefundsByFinanceFromTheOffice
      Effect: Deny
      Principal: "*"
      Action: execute-api:Invoke
      Resource: arn:aws:execute-api:*:edge:orders/$default/POST/orders/refunds
      Condition:
        StringNotEquals: {aws:PrincipalTag/department: finance}
        NotIpAddress: {aws:SourceIp: [203.0.113.0/24, "2001:db8::/32"]}
```

A request is refused with 403 if a Deny statement applies to it, or if no Allow statement does, as AWS evaluates a resource policy.
The account in ARNs is the gateway's name, an API's id is the Api's name, the stage is `$default`, and the path is the whole one that
callers write, without the query. A user is a Consumer, a role is a group, tags are attributes. Operators, keys, and what a key that
is missing means are AWS's. `docs/guide/resource-policy.md` tells all of it.

What can't be honoured exactly (an account, an API, a consumer or a key that isn't there, a policy variable, a value of the wrong
type) is an error, never ignored. All `ResourcePolicy` and `Authorize` policies that cover a request must allow it. In shadow the
verdict is only recorded. It runs in Envoy: 2 microseconds for two statements, a third of one more for each further one, and one or two
more where it asks for the time, for TLS or for lists.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, WithJsonSchema

from bartizan.condition import AttributeType, Schema
from bartizan.model.snapshot import Snapshot
from bartizan.policies._kind import Fault, Fragment, Phase, Place, PolicyKind, Reference
from bartizan.policies.resource_policy.form import FORM
from bartizan.policies.resource_policy.keys import Setting
from bartizan.policies.resource_policy.logic import settled
from bartizan.policies.resource_policy.lowering import allowed
from bartizan.policies.resource_policy.misfits import misfits
from bartizan.policies.resource_policy.model import Reading, reading

__all__ = ["ResourcePolicy"]


class ResourcePolicy(PolicyKind):
    """Let through what an AWS resource policy allows."""

    kind: Literal["ResourcePolicy"] = "ResourcePolicy"
    phase: ClassVar[Phase] = Phase.AUTHORIZATION

    document: Annotated[dict[str, Any], WithJsonSchema(FORM)] = Field(
        min_length=1, description="The policy document as AWS writes it: Version, Id, Statement."
    )

    def __hash__(self) -> int:
        return hash((self.kind, self.name))

    def compile(self, place: Place) -> Fragment:
        rule = allowed(self._read(place.schema).statements, place.api, Setting(place.gateway.name, place.sources))
        return Fragment(permit=settled(rule))

    def faults(self, schema: Schema, files: Mapping[str, bytes]) -> Iterator[Fault]:
        yield from self._read(schema).notes.faults

    def misfits(self, snapshot: Snapshot) -> Iterator[Fault]:
        yield from misfits(self._read(Schema.of(snapshot.gateway)).statements, self.target, snapshot)

    def references(self) -> Iterator[Reference]:
        yield from self._read(Schema()).notes.references

    def _read(self, schema: Schema) -> Reading:
        return _reading(json.dumps(self.document), tuple(schema.attributes.items()))


@functools.lru_cache(maxsize=8192)
def _reading(document: str, attributes: tuple[tuple[str, AttributeType], ...]) -> Reading:
    """A document is read once, however many routes and edits ask for it."""
    return reading(json.loads(document), Schema(dict(attributes)))
