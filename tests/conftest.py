"""Options of the test run."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--bless` rewrites goldens with what is made now."""
    parser.addoption("--bless", action="store_true", help="rewrite goldens with what is made now; read the difference before you commit it")
