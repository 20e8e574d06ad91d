"""drivers/system/naming.py"""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from smapd.drivers.system.naming import is_partition, matches, node_name, plain


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("/", "rootfs"),
        ("/home", "home"),
        ("/var/lib", "var_lib"),
        ("coretemp Core 0", "coretemp_Core_0"),
        ("eth0.100", "eth0.100"),
        ("+weird", "_weird"),
        ("..", "_"),
        ("///", "_"),
    ],
)
def test_names_read_well(device: str, name: str) -> None:
    assert node_name(device) == name


def test_clash_gets_a_checksum_of_the_device() -> None:
    first, second = node_name("/a/b"), node_name("/a_b", {"a_b"})

    assert first == "a_b"
    assert second.startswith("a_b-")
    assert second == node_name("/a_b", {"a_b", "other"})


def test_long_name_is_cut_and_stays_distinct() -> None:
    one, two = node_name("/" + "x" * 300 + "1"), node_name("/" + "x" * 300 + "2")

    assert len(one) < 80
    assert one != two


@given(st.text())
def test_any_device_gives_a_name_that_a_path_may_hold(device: str) -> None:
    name = node_name(device)

    assert 0 < len(name.encode("utf-8", "surrogateescape")) <= 255
    assert "/" not in name
    assert name.isprintable()
    assert name not in (".", "..")
    assert not name.startswith("+")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("sda1", True),
        ("sda12", True),
        ("sda", False),
        ("nvme0n1p2", True),
        ("nvme0n1", False),
        ("mmcblk0p1", True),
        ("mmcblk0", False),
        ("dm-10", False),
        ("md127", False),
    ],
)
def test_partitions_are_told_from_disks(name: str, is_one: bool) -> None:
    disks = {"sda", "nvme0n1", "mmcblk0", "dm-1", "dm-10", "md127"}

    assert is_partition(name, disks | {name}) is is_one


def test_pattern_or_name_matches() -> None:
    assert matches("eth0", ["wlan0", "eth*"])
    assert matches("wlan0", ["wlan0"])
    assert not matches("ETH0", ["eth*"])


def test_plain_names_are_those_without_pattern() -> None:
    assert plain(["eth0", "wl*", "e[0-9]", "a?"]) == ("eth0",)
