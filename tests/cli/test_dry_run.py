from typing import Any

import pytest

from smapd.assembly import TABLES
from smapd.cli.dry_run import picture, planted
from smapd.config import load_text
from smapd.driver import Option, SmapDriver, secret
from smapd.errors import DriverFailed, SecretUnreadable
from tests.cli.switch import Switch

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"
CONFIG = f"[/]\ntype = a.Driver\nuuid = {ROOT}\n"


class Meter(SmapDriver):
    OPTIONS = (Option("Key", secret, None, "its key"),)

    def setup(self, opts: Any) -> None:
        self.add_timeseries("/power", "W", data_type="double", description="now")
        self.add_timeseries("/by/phase", "phase", "degree")
        self.add_timeseries("/by/name", "name", None, data_type="string")
        self.set_metadata("/by", {"Extra": {"Tags": "x\x1b"}})

    def start(self) -> None:
        raise AssertionError("a dry run starts nothing")


def plan(more: str = "", driver: type[Any] = Meter) -> Any:
    return load_text(CONFIG + more, "x", tables=TABLES, drivers=lambda _: driver)


def test_the_tree_is_shown_a_line_a_node() -> None:
    """SM-18"""
    tree = planted(plan("Metadata/Location/Room = hall\n"))

    assert list(picture(tree)) == [
        "/",
        "    Metadata/Location/Room = hall",
        f"/power     double  W       {tree.uuid('/power')}",
        "    Description = now",
        "/by",
        "    Metadata/Extra/Tags = x\\x1b",
        f"/by/phase  long    degree  {tree.uuid('phase')}",
        f"/by/name   string  -       {tree.uuid('name')}",
    ]


def test_what_can_be_set_says_how() -> None:
    """SM-33"""

    class Lamp(SmapDriver):
        OPTIONS = ()

        def setup(self, opts: Any) -> None:
            self.add_actuator("/lamp", None, Switch(), data_type="long")

    assert "    Actuator/Model = binary" in list(picture(planted(plan(driver=Lamp))))


def test_a_setup_that_fails_names_itself() -> None:
    class Fails(Meter):
        def setup(self, opts: Any) -> None:
            raise ValueError("no such model")

    with pytest.raises(DriverFailed, match=r"setup failed: ValueError: no such model"):
        planted(plan(driver=Fails))


def test_a_secret_that_cannot_be_read_is_said() -> None:
    with pytest.raises(SecretUnreadable, match="Key: environment variable NOT_SET_ANYWHERE"):
        planted(plan("Key = env:NOT_SET_ANYWHERE\n"))
