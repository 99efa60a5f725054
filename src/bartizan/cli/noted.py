"""Notes in the audit log what a command did in the state itself, whether a control plane runs or not."""

import argparse
import getpass
import os
from pathlib import Path
from typing import Any

from bartizan.cli.arguments import STORE
from bartizan.cli.output import complain
from bartizan.cli.remote import told_local
from bartizan.errors import BartizanError, NotFound, Unavailable
from bartizan.identity.unnoted import Unnoted
from bartizan.secrets.keyring import load_or_create
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Event, embedded, open_store
from bartizan.store.opening import HEAD


def noted(read: argparse.Namespace, action: str, target: str, **details: Any) -> None:
    """The deed is done by now, and stays so: what can't be noted at once is kept, and noted when the control plane starts."""
    event = Event(f"local:{getpass.getuser()}", action, target, "local", "done", details)
    try:
        if not _by_control(read.state, event):
            _by_store(read.state, event)
    except NotFound:
        _keep(read.state, event)  # nothing ever ran with this state, or its store isn't known here
    except BartizanError as error:
        complain(f"it is done, but not in the audit log yet, where it comes when the control plane takes it up: {error.message}")
        _keep(read.state, event)


def _by_control(state: Path, event: Event) -> bool:
    """Whether a control plane runs with this state, and has noted it: it alone knows its store for sure."""
    told = {"actor": event.actor, "action": event.action, "target": event.target, "details": dict(event.details)}
    return told_local(state, "/noted", told)


def _by_store(state: Path, event: Event) -> None:
    """NotFound if there is no store yet: none is made for this, since a gateway tells its very first start by it."""
    if not (state / "signing.key").exists():
        raise NotFound("No gateway ever ran with this state.", code="store-missing")
    seal = Signatures(SigningKey(state / "signing.key", load_or_create(state / "control.key")))
    with open_store(os.environ.get(STORE) or embedded(state), seal, head=state / HEAD, create=False) as store:
        store.audit.append(event)


def _keep(state: Path, event: Event) -> None:
    try:
        Unnoted(state, load_or_create(state / "control.key")).keep(event)
    except Unavailable as error:
        complain(f"{event.action} of {event.target} isn't noted anywhere: {error.message}")
