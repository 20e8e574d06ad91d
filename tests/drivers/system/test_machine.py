"""drivers/system/machine.py: psutil's answers, told apart."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from smapd.driver import MissingExtra
from smapd.drivers.system.machine import Choice, Machine, Unreadable, load_psutil

from .recorded import Recorded

PARTS = {
    "all": [
        {"device": "proc", "mountpoint": "/proc", "fstype": "proc"},
        {"device": "overlay", "mountpoint": "/", "fstype": "overlay"},
        {"device": "/dev/sda1", "mountpoint": "/etc/hosts", "fstype": "ext4"},
        {"device": "/dev/sdb1", "mountpoint": "/srv/data/bound", "fstype": "ext4"},
        {"device": "/dev/sdb1", "mountpoint": "/srv/data", "fstype": "ext4"},
        {"device": "/dev/loop3", "mountpoint": "/snap/core", "fstype": "squashfs"},
    ]
}
PARTS["local"] = PARTS["all"][2:]
USAGE = {"total": 10, "used": 4, "free": 6, "percent": 40.0}


def machine(**look: Any) -> Machine:
    return Machine(
        Recorded([look]), Choice(), is_directory=lambda p: p != "/etc/hosts", wall_s=lambda: 1000
    )


def test_root_and_one_mount_of_each_local_device_are_read() -> None:
    usage = dict.fromkeys(("/", "/srv/data"), USAGE)

    look = machine(disk_partitions=PARTS, disk_usage=usage).read("disk")

    assert list(look.found) == ["/", "/srv/data"]


def test_one_mount_that_fails_costs_the_others_nothing() -> None:
    usage = {"/": {"raises": "OSError", "text": "stale"}, "/srv/data": USAGE}

    look = machine(disk_partitions=PARTS, disk_usage=usage).read("disk")

    assert list(look.found) == ["/srv/data"]
    assert look.failed == {"/": "stale"}


def test_guest_time_is_not_counted_twice() -> None:
    times = {"user": 10.0, "system": 2.0, "idle": 8.0, "guest": 5.0, "guest_nice": 0.0}

    found = machine(cpu_times={"total": times, "each": [times]}).read("cpu").found

    assert found["total"]["total"] == 20.0
    assert found["core0"] == {"busy": 12.0, "total": 20.0}


def test_uptime_is_never_negative() -> None:
    assert machine(boot_time=2000, pids=[]).read("system").found[""]["uptime"] == 0


def test_system_without_sensors_has_no_temperatures() -> None:
    class Bare:
        Error = OSError

    assert Machine(Bare()).read("temperature").found == {}


@pytest.mark.parametrize("kind", ["OSError", "NotImplementedError", "ValueError", "Error"])
def test_what_psutil_raises_says_why(kind: str) -> None:
    look = {"raises": kind, "text": "no /proc/vmstat here"}

    with pytest.raises(Unreadable, match="no /proc/vmstat here"):
        machine(swap_memory=look).read("swap")


def test_function_that_this_system_lacks_is_unreadable() -> None:
    class Bare:
        Error = OSError

    with pytest.raises(Unreadable):
        Machine(Bare()).read("diskio")


def test_missing_psutil_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *a: Any) -> Any:
        if name == "psutil":
            raise ModuleNotFoundError("No module named 'psutil'")
        return real(name, *a)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(MissingExtra) as caught:
        load_psutil()

    assert caught.value.message == (
        "SystemDriver needs the package psutil (No module named 'psutil')."
    )
    assert caught.value.hint == "Install it: pip install psutil"


def test_disk_tells_where_it_is_mounted() -> None:
    about = machine(disk_partitions=PARTS).about_disk("/srv/data")

    assert about == {
        "Extra/MountPoint": "/srv/data",
        "Extra/Device": "/dev/sdb1",
        "Extra/FileSystem": "ext4",
    }


def test_disk_that_is_not_mounted_has_its_mount_point_alone() -> None:
    assert machine(disk_partitions=PARTS).about_disk("/mnt/x") == {"Extra/MountPoint": "/mnt/x"}
