"""A secret that comes back in a driver's own exception is shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from smapd.options import Secret, SecretUrl
from smapd.runtime.hiding import hider
from smapd.testing import DaemonProcess

DRIVER = """
from smapd.driver import Option, SmapDriver
from smapd.options import REQUIRED
from smapd.errors import DeviceUnavailable
from smapd.options import secret, secret_url
from smapd.util import periodicSequentialCall
import logging


class Leaky(SmapDriver):
    OPTIONS = (
        Option("Password", secret, REQUIRED, "the password"),
        Option("Url", secret_url, REQUIRED, "where"),
        Option("Step", str, REQUIRED, "which step fails"),
    )

    def setup(self, opts):
        self.opts = opts
        self.add_timeseries("/a", "V")
        self.fail("setup")

    def start(self):
        self.fail("start")
        periodicSequentialCall(self.poll).start(0.05)

    def poll(self):
        logging.getLogger("device").warning("tried %s", self.opts["Password"].reveal())
        self.fail("poll")
        self.fail("device", DeviceUnavailable)

    def fail(self, step, error=RuntimeError):
        if step == self.opts["Step"]:
            url = self.opts["Url"].reveal()
            raise error(f"login {self.opts['Password'].reveal()!r} refused by {url}")
"""


def test_what_is_hidden_is_hidden_in_every_way_of_writing_it():
    """As it is, as repr and JSON write it, and quoted; the rest of the text stays."""
    hide = hider({"Password": Secret('p"w d&1'), "Url": SecretUrl("http://me:hush@h/in?key=k9k9")})
    assert hide('a p"w d&1 b') == "a *** b"
    assert hide(repr(['p"w d&1'])) == "['***']"
    assert hide('{"p": "p\\"w d&1"}') == '{"p": "***"}'
    assert hide("x?p=p%22w%20d%261&y p%22w+d%261") == "x?p=***&y ***"
    assert hide("user me:hush at h, key=k9k9") == "user me:*** at h, ***"
    assert hide("http://me:hush@h/in?key=k9k9") == "***"
    assert hide("nothing") == "nothing"


def test_a_text_named_like_a_secret_is_one_and_a_short_one_would_take_words_apart():
    """Drivers without a table have their options as text."""
    hide = hider({"AuthToken": "abcd-efgh", "Pin": {"password": ["s3cret-7"]}, "pwd": "on"})
    assert hide("abcd-efgh or s3cret-7 on") == "*** or *** on"


@pytest.mark.real
@pytest.mark.parametrize("step", ["setup", "start", "poll", "device"])
def test_no_step_of_a_driver_shows_its_secrets(step: str, tmp_path: Path):
    """Not in the log with its tracebacks, not in the tree, not in /status."""
    (tmp_path / "leaky.py").write_text(DRIVER)
    (tmp_path / "pw").write_text("hunter2-hunter2")
    config = (
        "[/]\nuuid = 75503ac2-abf0-11f0-b4d8-8b6b4f7d2c11\n[/x]\ntype = leaky.Leaky\n"
        f"Password = file:{tmp_path}/pw\nStep = {step}\n"
        'Url = "http://me:open-sesame@127.0.0.1:1/p"\n'
    )
    with DaemonProcess(config, path=[tmp_path]) as daemon:
        for _ in range(600):
            if "login" in daemon.text():
                break
            daemon.get("/status")
        seen = daemon.text() + daemon.get("/status").body.decode()
        seen += daemon.get("/data/+").body.decode()
    assert "login" in seen
    assert "hunter2" not in seen
    assert "open-sesame" not in seen
