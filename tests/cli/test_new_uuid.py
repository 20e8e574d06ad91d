from uuid import UUID

import pytest

from smapd.cli import main, uuid

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


def test_each_call_prints_a_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    """SM-21"""
    assert uuid([]) == 0
    assert uuid([]) == 0

    first, second = map(UUID, capsys.readouterr().out.split())
    assert first != second
    assert first.version == 4


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("sensor0", "b37e5c5f-e9b0-59a6-8275-08729beeff46"),
        ("a key with spaces", "dffaf51b-86e3-55dc-b507-a039936dd26a"),
    ],
)
def test_a_root_and_a_key_give_the_uuid_of_the_stream(
    key: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """SM-03: as recorded."""
    assert uuid([ROOT, key]) == 0

    assert capsys.readouterr().out == expected + "\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense", "key"], "uuid: 'nonsense' is not a uuid.\n"),
        (["７" + ROOT[1:], "key"], f"uuid: '７{ROOT[1:]}' is not a uuid.\n"),
        ([ROOT, "\udcff"], "uuid: '\\udcff' is not UTF-8 text.\n"),
        ([ROOT], "uuid: give no argument, or ROOT and KEY.\n"),
        ([ROOT, "a", "b"], "uuid: give no argument, or ROOT and KEY.\n"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert uuid(arguments) == 2

    assert capsys.readouterr() == ("", sentence)


def test_smapd_has_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["uuid", ROOT, "sensor0"]) == 0

    assert capsys.readouterr().out == "b37e5c5f-e9b0-59a6-8275-08729beeff46\n"
