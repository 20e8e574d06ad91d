"""runtime/bundle.py and options.py: the pieces together, on a reactor of their own."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from twisted.internet.testing import MemoryReactorClock

from smapd.runtime import TABLES, PoolSize, make_runtime, pool_sizes


def test_make_runtime_shows_its_parts_under_status() -> None:
    runtime = make_runtime(MemoryReactorClock())

    shown = runtime.status.snapshot()

    assert set(shown) == {"threads", "polls", "faults"}
    assert set(shown["threads"]) == {"poll", "work", "setup", "loop", "loop-user"}
    assert dataclasses.is_dataclass(runtime)
    assert 0.8 <= runtime.backoff().next() <= 1.2


def test_pool_sizes_are_as_documented() -> None:
    """ARCHITECTURE 3: 20 poll threads kept, 200 at most; 8 work threads."""
    sizes = pool_sizes()

    assert (sizes["poll"].kept, sizes["poll"].most) == (20, 200)
    assert (sizes["work"].kept, sizes["work"].most) == (8, 8)
    assert pool_sizes(300)["poll"] == PoolSize(300, 300, 100_000)


def test_options_of_server_have_their_defaults() -> None:
    [table] = TABLES

    values, problems = table.parse({})

    assert (values, problems) == (
        {
            "PollThreads": 20,
            "WorkThreads": 8,
            "WriteBudget": None,
            "LogFormat": "text",
            "LogLevel": "info",
        },
        [],
    )


@pytest.mark.parametrize(
    ("key", "text", "sentence"),
    [
        ("PollThreads", "0", "below the least allowed, 1."),
        ("WorkThreads", "201", "above the most allowed, 200."),
        ("LogFormat", "jsn", "not one of text, json. Did you mean json?"),
        ("LogLevel", "loud", "not one of debug, info, warn, error, critical."),
    ],
)
def test_options_of_server_say_what_would_do(key: str, text: str, sentence: str) -> None:
    _, [problem] = TABLES[0].parse({key: text})

    assert sentence in problem.text


@pytest.mark.real
def test_importing_the_room_installs_no_reactor() -> None:
    program = "import sys, smapd.runtime; print('twisted.internet.reactor' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout == "False\n", done.stderr
