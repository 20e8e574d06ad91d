from pathlib import Path

from smapd.storage import TABLES, EventSettings, Settings, event_settings_from, settings_from


def test_the_data_directory_is_beside_where_smapd_was_started() -> None:
    values, problems = TABLES[0].parse({})

    assert problems == []
    assert values["DataDir"] == Path("smapd-data")


def test_the_data_directory_can_be_named() -> None:
    values, _ = TABLES[0].parse({"DataDir": "/var/lib/smapd"})

    assert values["DataDir"] == Path("/var/lib/smapd")


def test_the_journal_keeps_what_the_keys_say_and_else_its_defaults() -> None:
    values, _ = TABLES[0].parse({})
    assert settings_from(values) == Settings()

    values, _ = TABLES[0].parse(
        {"CommitInterval": "60s", "CommitReadings": "5", "History": "0", "MaxBytes": "1GiB"}
    )
    assert settings_from(values) == Settings(60.0, 5, 0.0, max_bytes=2**30)


def test_events_are_kept_for_ever_unless_a_key_says_how_long() -> None:
    values, _ = TABLES[0].parse({})
    assert event_settings_from(values) == EventSettings()

    values, _ = TABLES[0].parse(
        {"EventHistory": "30d", "EventMaxBytes": "1GiB", "MinFree": "1MiB", "CommitInterval": "2s"}
    )
    assert event_settings_from(values) == EventSettings(30 * 86_400.0, 2**30, 2**20, 2.0)
