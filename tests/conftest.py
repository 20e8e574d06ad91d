"""What every test may count on: smapd.drivers is found, and hypothesis draws the same each time."""

import importlib.util
import os
import pathlib
import shutil
from collections.abc import Callable

import hypothesis
import pytest

import smapd

ROOT = pathlib.Path(__file__).parent.parent
if importlib.util.find_spec("smapd.drivers") is None:
    smapd.__path__.append(str(ROOT))  # a bare checkout finds drivers/ as smapd.drivers

# Two busy cores make any deadline a lie; what make soak runs may draw anew each time.
hypothesis.settings.register_profile("test", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("SMAPD_HYPOTHESIS", "test"))


@pytest.fixture
def server() -> Callable[[str], str]:
    """The path of a test server's program; missing, it is an error where servers are required."""

    def find(program: str) -> str:
        path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
        if path is None:
            refuse = pytest.fail if os.environ.get("SMAPD_REQUIRE_SERVICES") == "1" else pytest.skip
            refuse(f"{program} is not installed: make test installs it")
        return path

    return find
