from pathlib import Path

from smapd.storage import TABLES


def test_the_data_directory_is_beside_where_smapd_was_started() -> None:
    values, problems = TABLES[0].parse({})

    assert (values, problems) == ({"DataDir": Path("smapd-data")}, [])


def test_the_data_directory_can_be_named() -> None:
    values, _ = TABLES[0].parse({"DataDir": "/var/lib/smapd"})

    assert values["DataDir"] == Path("/var/lib/smapd")
