"""Unix sockets that only their owner can reach, at paths short enough for the kernel."""

import hashlib
import os
import tempfile
from pathlib import Path

_LONGEST = 100  # the kernel's limit is 107 bytes, and some programs add a suffix


def socket_folder(state: Path) -> Path:
    """A folder of mode 0700 for the sockets of whoever keeps its state in `state`: inside it, or elsewhere if that path is too long.

    The same state always gets the same folder, so that a restarted process is found where its predecessor was.
    """
    folder = state.absolute() / "run"
    if len(os.fsencode(folder)) > _LONGEST - len("/control.sock"):
        own = Path(tempfile.gettempdir()) / f"bartizan-{os.getuid()}"
        private_folder(own)
        folder = own / hashlib.sha256(os.fsencode(state.resolve())).hexdigest()[:16]
    return private_folder(folder)


def private_folder(folder: Path) -> Path:
    """`folder`, made if need be, and for its owner alone. PermissionError if it is another user's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user (uid {found.st_uid})")
    if found.st_mode & 0o077:
        folder.chmod(0o700)
    return folder
