import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.application.service import IService, IServiceMaker, Service
from twisted.plugin import getPlugins
from twisted.python import usage
from zope.interface import implementer

import smapd
from smapd import tap

ROOT = Path(__file__).parent.parent


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "a.ini"
    file.write_text("[/]\nuuid = 75503ac2-abf0-11e0-b7d6-0026bb56ec92\nProperties/Timezone = UTC\n")
    return str(file)


def options(*arguments: str) -> tap.Options:
    found = tap.Options()
    found.parseOptions(arguments)
    return found


def test_the_service_is_made_of_the_plan_and_the_options(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SM-38"""
    made: list[tuple[Any, dict[str, Any]]] = []

    @implementer(IService)
    class Made(Service):
        pass

    def make_service(plan: Any, **given: Any) -> Made:
        made.append((plan, given))
        return Made()

    fake = SimpleNamespace(make_service=make_service)
    monkeypatch.setitem(sys.modules, "smapd.server", fake)
    monkeypatch.setattr(smapd, "server", fake, raising=False)

    service = tap.makeService(options("--port", "0", "--data-dir", "d", config))

    assert IService.providedBy(service)
    ((plan, given),) = made
    assert plan.file == config
    assert given == {"port": 0, "data_dir": "d"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name the config file: twist smapd CONFIG"),
        (("--port", "65536", "a.ini"), "65536 is not a port; write a number up to 65535"),
        (("--port", "x", "a.ini"), "invalid literal"),
        (("a.ini", "b.ini"), "Wrong number of arguments"),
    ],
)
def test_wrong_usage_is_told_by_twist(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(usage.UsageError, match=sentence):
        options(*arguments)


def test_a_config_with_errors_starts_nothing(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """SM-38, P-13"""
    with open(config, "a") as f:
        f.write("Timezonn = 1\n")

    with pytest.raises(SystemExit) as caught:
        options(config)

    assert caught.value.code == 78
    assert capsys.readouterr().err.startswith(f"{config}:4: [/] Timezonn: ")


def test_twist_finds_the_plugin() -> None:
    """SM-38"""
    makers = {maker.tapname: maker for maker in getPlugins(IServiceMaker)}

    assert makers["smapd"].options is tap.Options
    assert makers["smapd"].makeService is tap.makeService


@pytest.mark.real
def test_every_other_twist_is_spared_smapd() -> None:
    """``twist --help`` reads the plugin's file; smapd is loaded for ``twist smapd`` alone."""
    code = (
        "import sys\n"
        "import twisted.plugins.smapd_plugin\n"
        "sys.exit('smapd' in sys.modules or 'klein' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60)

    assert done.returncode == 0
