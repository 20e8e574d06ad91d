from smapd.cli.causes import cause_of
from smapd.config import find_driver
from smapd.core import SmapInstance
from smapd.driver import AsyncDriver, DriverHost, SmapDriver
from smapd.errors import DeviceUnavailable, DriverFailed, MissingExtra, SmapError

ROOT = "75503ac2-abf0-11e0-b7d6-0026bb56ec92"


class Fails(SmapDriver):
    def setup(self, opts: object) -> None:
        raise ZeroDivisionError("nought")


def failed(setup: type[SmapDriver]) -> DriverFailed:
    scope = SmapInstance(ROOT).scope("/", ROOT)
    try:
        DriverHost(setup, scope, {}).setup()
    except DriverFailed as e:
        return e
    raise AssertionError


def test_a_bug_in_setup_begins_in_the_drivers_own_code() -> None:
    first, file, *_, last = cause_of(failed(Fails)).splitlines()

    assert first == "Traceback (most recent call last):"
    assert f'"{__file__}"' in file
    assert last == "ZeroDivisionError: nought"


def test_a_bug_in_a_coroutine_begins_in_the_drivers_own_code() -> None:
    class FailsAsync(AsyncDriver):
        async def setup(self, opts: object) -> None:
            raise ZeroDivisionError("nought")

    assert f'"{__file__}"' in cause_of(failed(FailsAsync)).splitlines()[1]


def test_a_bug_on_import_begins_in_the_module(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_on_import.py").write_text("nonsense\n")
    try:
        find_driver("broken_on_import.D")
    except DriverFailed as e:
        shown = cause_of(e).splitlines()

    assert shown[1].strip().startswith(f'File "{tmp_path}/broken_on_import.py", line 1')
    assert shown[-1] == "NameError: name 'nonsense' is not defined"


def test_a_sentence_needs_no_traceback() -> None:
    for cause in (DeviceUnavailable("gone"), None):
        error = SmapError("it broke")
        error.__cause__ = cause
        assert cause_of(error) == ""


def test_a_missing_package_needs_no_traceback() -> None:
    error = MissingExtra("x needs y")
    error.__cause__ = ModuleNotFoundError("y")

    assert cause_of(error) == ""
