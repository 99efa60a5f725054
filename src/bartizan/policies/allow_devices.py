"""Lets through only requests that come from enrolled devices: a device allow-list.

```yaml
kind: AllowDevices
name: managed-machines
target: {api: orders, paths: [/orders/refunds]}
trusted: true
```

A device is enrolled by a `Device`, which names the SHA-256 of its client certificate, and proves itself by that certificate in the TLS
handshake: nothing of it can be forged in a header. Who calls is proven beside it, by an API key or a token; a certificate that is also a
consumer's means that consumer if there is no other credential.
A request from no device, from one that isn't among `devices`, or, with `trusted`, from one that nobody has trusted yet is refused with 403.
A device that is lost is refused everywhere with 401, within a second, whatever the policies say.
The listener's `Tls` policy has to ask for client certificates. In shadow the verdict is only recorded.
It runs in Envoy: a third of a microsecond.
"""

import json
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bartizan.condition import parse
from bartizan.model.fields import AsTuple, Name
from bartizan.policies._kind import Fragment, Phase, Place, PolicyKind, Reference


class AllowDevices(PolicyKind):
    """Let through enrolled devices only."""

    kind: Literal["AllowDevices"] = "AllowDevices"
    phase: ClassVar[Phase] = Phase.AUTHORIZATION

    devices: Annotated[tuple[Name, ...], AsTuple] = Field(
        default=(), description="The devices that may; each enrolled one if none is named."
    )
    trusted: bool = Field(default=True, description="Whether a device has to be trusted; else it may be pending too.")

    def compile(self, place: Place) -> Fragment:
        parts = [f"device.id in {json.dumps(self.devices)}" if self.devices else "has(device.id)"]
        parts += ["device.trusted"] if self.trusted else []
        return Fragment(permit=parse(" && ".join(parts), place.schema).predicate(place.sources))

    def references(self) -> Iterator[Reference]:
        for i, name in enumerate(self.devices):
            yield Reference(("devices", i), "Device", name)
