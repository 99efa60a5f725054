"""The command line without a process of its own: what it prints and its exit status, in a fraction of the time."""

import contextlib
import io
import subprocess
import sys
from unittest.mock import patch

from bartizan.cli.main import main


def bartizan(*arguments: object) -> subprocess.CompletedProcess[str]:
    """As `bartizan` in test_main.py."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["bartizan", *map(str, arguments)]
    with patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    return subprocess.CompletedProcess(argv, status, out.getvalue(), err.getvalue())
