"""A directory in memory: what is tried thousands of times needs no disk."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def ram(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Empty at first, the same for a file's tests; on the disk where there is no /dev/shm."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path_factory.mktemp("ram")
        return
    home = Path(tempfile.mkdtemp(prefix="smapd-test-", dir=MEMORY))
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of shim.c; without a C compiler the test is skipped, or fails in make test."""
    compiler = shutil.which("cc")
    if compiler is None:
        refuse = pytest.fail if os.environ.get("SMAPD_REQUIRE_SERVICES") == "1" else pytest.skip
        refuse("cc is not installed: it compiles tests/storage/shim.c")
    made = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    subprocess.run([compiler, *flags, "-o", made, source], check=True)
    return made
