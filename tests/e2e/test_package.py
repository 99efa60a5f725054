"""The project as a package: wheel and sdist build, hold what they need, and the wheel runs where the sources aren't."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], check=True, capture_output=True, timeout=300
    )
    return folder


def test_wheel_and_sdist_hold_what_they_need(built: Path) -> None:
    (wheel,), (sdist,) = list(built.glob("*.whl")), list(built.glob("*.tar.gz"))
    names = zipfile.ZipFile(wheel).namelist()
    assert {"bartizan/compile/gate.lua", "bartizan/authorization/static/passkeys.js"} <= set(names)
    assert {"bartizan/store/migrations/env.py", "bartizan/store/migrations/versions/v0001.py"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith("tests")]
    with tarfile.open(sdist) as archive:
        held = archive.getnames()
    assert any(name.endswith("examples/quickstart/gateway.yaml") for name in held)


def test_the_wheel_runs_where_the_sources_arent(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")  # noqa: S202 - our own wheel
    code = (
        "import sys, bartizan; from bartizan.store import open_store; open_store('sqlite:///made/store.db').close();"
        "import bartizan; from bartizan.cli.main import main; print(bartizan.__file__);"
        "sys.argv[1:] = ['check', '-f', sys.argv[1]]; sys.exit(main())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, ROOT / "examples" / "quickstart"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert str(tmp_path) in ran.stdout
    assert "good: revision" in ran.stdout
