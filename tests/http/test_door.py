"""What importing the room does, and does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = """
import sys
import smapd.http
print([m for m in ("klein", "werkzeug", "twisted.internet.reactor", "OpenSSL", "cryptography")
       if m in sys.modules])
"""


@pytest.mark.real
def test_importing_the_room_installs_no_reactor() -> None:
    """SM-20: klein comes when a site is made, TLS when a certificate is given."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHECK],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == "[]\n"
