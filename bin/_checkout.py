"""Runs the commands from a checkout that is not installed; an installed one has entry points."""

import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
PYTHON = os.path.join(ROOT, ".venv", "bin", "python")
TRIED = "SMAPD_BIN_TRIED"  # set in the second try, so that there is no third


def run(command, packages=()):
    """Call ``smapd.cli.COMMAND()`` and end with its status.

    ``packages``: what it cannot do without. If one is missing here, .venv/bin/python runs it.
    """
    missing = [name for name in packages if not _is_there(name)]
    if sys.version_info < (3, 11):  # noqa: UP036  it is what this looks for
        missing = missing or ["Python 3.11"]
    if missing and os.access(PYTHON, os.X_OK) and TRIED not in os.environ:
        os.environ[TRIED] = "1"
        os.execv(PYTHON, [PYTHON, *sys.argv])
    os.environ.pop(TRIED, None)
    if missing:
        name = os.path.basename(sys.argv[0])
        sys.exit(f"{name}: {missing[0]} is missing; run `make run` or `pip install -e .` first.")
    sys.path[0] = ROOT  # in place of bin/
    import smapd

    smapd.__path__.append(ROOT)  # drivers/ is smapd.drivers, and nothing else
    del sys.path[0]
    from smapd import cli

    sys.exit(getattr(cli, command)())


def _is_there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:  # its parent is missing
        return False
