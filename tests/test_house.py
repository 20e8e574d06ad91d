"""The rules of the house, read from every import and call; each is tried on code that breaks it.

Floors: a file imports from floors below its own, or from its own room. One file names the reactor,
one holds the thread doors, one the clock, and two pieces of module state are all there is.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = {
    1: ("values", "texts", "errors", "option_types", "secret", "options", "interfaces"),
    2: ("core", "runtime", "storage"),
    3: (
        "config",
        "actuation",
        "reports",
        "sinks",
        "history",
        "twin",
        "desired",
        "connectors",
        "access",
        "http",
    ),
    4: ("driver", "util", "actuate", "reporting"),
    5: ("assembly", "drivers"),
    6: ("server", "loader", "testing"),
    7: ("cli", "tap"),
    8: ("__main__",),
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}

# Within floor 1: errors stands on values, options on errors and on what it is made of.
FIRST = {
    "values": (),
    "errors": ("values",),
    "texts": (),
    "option_types": ("values", "texts"),
    "secret": ("errors", "option_types", "texts"),
    "options": ("values", "errors", "option_types", "secret", "texts"),
    "interfaces": ("values",),
}

# What a room may import of smapd beside floor 1, where that is less than the floors below.
ROOMS = {
    "core": (),
    "runtime": (),
    "storage": (),
    "http": (),
    "config": ("core",),
    "actuation": ("core", "storage"),
    "reports": ("core", "storage"),
    "sinks": (),
    "history": ("storage",),
    "access": ("storage",),
    "twin": ("core", "runtime", "storage"),
    "desired": ("runtime", "storage"),
    "connectors": ("runtime", "storage"),
    "__main__": ("cli",),
}

# drivers/ is written as any user's driver would be.
DRIVER_FACES = ("driver", "util", "actuate", "desired")

# What a room may not import of the world.
BARRED = {
    "core": ("twisted", "klein", "socket", "threading", "time", "os", "pathlib", "io", "asyncio"),
    "storage": ("twisted", "klein", "treq", "asyncio", "time"),
    "cli": ("twisted", "klein", "treq", "time"),
    "errors": ("twisted", "zope"),
    "values": ("twisted", "zope"),
    "options": ("twisted", "zope"),
    "option_types": ("twisted", "zope"),
    "secret": ("twisted", "zope"),
    "texts": ("twisted", "zope"),
}
ALLOWED = {"storage": ("twisted.internet.defer",)}

THREAD_MODULES = ("threading", "_thread", "concurrent", "multiprocessing", "queue")
THREAD_CALLS = (
    "deferToThread",
    "deferToThreadPool",
    "callFromThread",
    "callInThread",
    "callInThreadWithCallback",
    "blockingCallFromThread",
    "run_coroutine_threadsafe",
    "call_soon_threadsafe",
    "run_in_executor",
    "to_thread",
)
DOORS = ("runtime/threads.py", "runtime/pool.py", "runtime/loops.py")  # it is made of the others
DOORS += ("runtime/program.py",)  # of programs that have no reactor
SIGNAL = ("server.py", "callFromThread")  # a signal handler wakes the reactor it interrupted

CLOCK_CALLS = {
    "time": ("time", "time_ns", "monotonic", "monotonic_ns", "sleep"),
    "datetime": ("now", "utcnow", "today"),
    "date": ("today",),
}
CLOCK_NAMES = ("callLater", "deferLater", "LoopingCall")
CLOCK = ("runtime/clock.py", "runtime/program.py")  # the second for who has no reactor

STATE = ("runtime/periodic.py", "desired/registry.py")
MUTABLE = ("dict", "list", "set", "deque", "defaultdict", "OrderedDict", "Counter")
MUTATORS = ("add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop")
MUTATORS += ("popitem", "popleft", "remove", "setdefault", "update")


class File:
    """One file: its path below smapd/ (drivers/… for a driver), and its syntax tree."""

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.tree = ast.parse(source, name)
        self.room = name.split("/")[0].removesuffix(".py")
        self.module = ["smapd", *name.removesuffix(".py").split("/")]
        if self.module[-1] == "__init__":
            self.package = self.module = self.module[:-1]
        else:
            self.package = self.module[:-1]

    def imports(self) -> Iterator[tuple[int, str]]:
        """(line, dotted name) of all that is imported, wherever it stands in the file."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.name
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    up = self.package[: len(self.package) - node.level + 1]
                    base = ".".join([*up, base] if base else up)
                for alias in node.names:
                    yield node.lineno, f"{base}.{alias.name}"

    def for_types_alone(self) -> set[int]:
        """Lines under ``if TYPE_CHECKING:``."""
        return {
            inner.lineno
            for node in ast.walk(self.tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for statement in node.body
            for inner in ast.walk(statement)
            if isinstance(inner, ast.stmt)
        }


def house() -> Iterator[File]:
    for path in sorted((ROOT / "smapd").rglob("*.py")):
        yield File(path.relative_to(ROOT / "smapd").as_posix(), path.read_text("utf-8"))
    for path in sorted((ROOT / "drivers").rglob("*.py")):
        yield File(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))


Rule = Callable[[File], Iterator[str]]


def floors(file: File) -> Iterator[str]:
    """A file imports only from floors below it, or from its own folder."""
    if file.name == "__init__.py":
        return
    if file.room not in FLOOR:
        yield f"{file.name}: {file.room} has no floor"
        return
    mine = FLOOR[file.room]
    types_alone = file.for_types_alone()
    for line, name in file.imports():
        parts = name.split(".")
        if parts[0] == "drivers":
            yield f"{file.name}:{line}: drivers/ is imported as smapd.drivers"
        if parts[0] != "smapd" or len(parts) < 2 or parts[1] == "__version__":
            continue
        room = parts[1]
        if room == file.room:
            continue
        where = f"{file.name}:{line}: {file.room} imports smapd.{room}"
        if room not in FLOOR:
            yield f"{where}, which has no floor"
        elif mine == 1:
            if room not in FIRST[file.room] and not (FLOOR[room] == 1 and line in types_alone):
                yield where
        elif FLOOR[room] >= mine:
            yield f"{where}, floor {FLOOR[room]} from floor {mine}"
        elif file.room in ROOMS and FLOOR[room] != 1 and room not in ROOMS[file.room]:
            yield f"{where}, which is not for this room"
        elif file.room == "drivers" and room not in DRIVER_FACES:
            yield f"{where}; a driver imports {', '.join(DRIVER_FACES)}"


def world(file: File) -> Iterator[str]:
    """Some rooms do without parts of the world: core without I/O, the commands without Twisted."""
    for line, name in file.imports():
        barred = BARRED.get(file.room, ())
        allowed = any(_is_below(name, one) for one in ALLOWED.get(file.room, ()))
        if name.split(".")[0] in barred and not allowed:
            yield f"{file.name}:{line}: {file.room} imports {name}"


def one_reactor(file: File) -> Iterator[str]:
    """server.py alone names the reactor, and inside a function; klein is http's alone."""
    top = {id(node) for node in _at_import(file.tree)}
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [f"{getattr(node, 'module', None) or ''}.{a.name}".strip(".") for a in node.names]
        for name in names:
            if name.startswith("twisted.internet.reactor"):
                if file.name != "server.py":
                    yield f"{file.name}:{node.lineno}: names the reactor"
                elif id(node) in top:
                    yield f"{file.name}:{node.lineno}: the reactor is installed by importing this"
            if name.split(".")[0] == "klein" and file.room != "http":
                yield f"{file.name}:{node.lineno}: imports klein, which installs the reactor"


def thread_doors(file: File) -> Iterator[str]:
    """Threads are made and crossed in runtime/ alone."""
    if file.name.startswith(DOORS):
        return
    for line, name in file.imports():
        if name.split(".")[0] in THREAD_MODULES or name.startswith("twisted.internet.threads"):
            yield f"{file.name}:{line}: imports {name}"
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Attribute | ast.Name) and _name(node) in THREAD_CALLS:
            if (file.name, _name(node)) == SIGNAL:
                continue
            yield f"{file.name}:{node.lineno}: uses {_name(node)}"


def one_clock(file: File) -> Iterator[str]:
    """Only runtime/clock.py asks what time it is or sets a timer; ``wall_ms`` stamps readings."""
    if file.name in CLOCK:
        return
    imported = {
        a.asname or a.name: a.name
        for n in ast.walk(file.tree)
        if isinstance(n, ast.Import | ast.ImportFrom)
        for a in n.names
    }
    for line, name in file.imports():
        module, _, what = name.rpartition(".")
        if module == "time" and what in CLOCK_CALLS["time"]:
            yield f"{file.name}:{line}: imports {name}"
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Attribute):
            owner = _name(node.value)
            owner = imported.get(owner, owner)
            if node.attr in CLOCK_CALLS.get(owner, ()):
                if (file.room, node.attr) in (("values", "time_ns"), ("drivers", "monotonic")):
                    continue  # wall_ms; and a device's counter, read together with the time
                yield f"{file.name}:{node.lineno}: calls {owner}.{node.attr}"
        # A Clock's own method may bear the reactor's name; what is barred is the reactor's.
        if isinstance(node, ast.Attribute | ast.Name) and _name(node) in CLOCK_NAMES:
            yield f"{file.name}:{node.lineno}: uses {_name(node)}"


def module_state(file: File) -> Iterator[str]:
    """Nothing at module level changes after import, but in the two files that say why."""
    if file.name in STATE:
        return
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Global):
            yield f"{file.name}:{node.lineno}: global {', '.join(node.names)}"
    held: dict[str, int] = {}
    for node in file.tree.body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        for target in targets:
            if isinstance(target, ast.Name) and target.id != "__all__" and _is_mutable(value):
                held[target.id] = node.lineno
                if _is_empty(value):
                    yield f"{file.name}:{node.lineno}: {target.id} waits to be filled"
    for function in ast.walk(file.tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            own = _bound_in(function)
            for node in ast.walk(function):
                name = _changed(node)
                if name in held and name not in own:
                    yield f"{file.name}:{node.lineno}: changes {name} of line {held[name]}"


RULES = (floors, world, one_reactor, thread_doors, one_clock, module_state)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule: Rule) -> None:
    assert [broken for file in house() for broken in rule(file)] == []


# --- each rule on what breaks it, and on what looks like it


BROKEN: list[tuple[Rule, str, str]] = [
    (floors, "core/x.py", "from smapd.runtime import Clock"),
    (floors, "core/x.py", "def f():\n    import smapd.http"),
    (
        floors,
        "core/x.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from smapd.config import Plan",
    ),
    (floors, "http/x.py", "from smapd.core import SmapInstance"),
    (floors, "http/x.py", "from ..access import Access"),
    (floors, "http/x.py", "from .. import core"),
    (floors, "config/x.py", "from smapd import storage"),
    (floors, "values.py", "from smapd.errors import SmapError"),
    (floors, "interfaces.py", "from smapd.errors import SmapError"),
    (floors, "driver/x.py", "from smapd.util import now"),
    (floors, "drivers/x/driver.py", "from smapd.core import SmapInstance"),
    (floors, "drivers/x/driver.py", "import drivers.system"),
    (floors, "server.py", "from smapd.loader import load"),
    (floors, "tap.py", "from smapd.cli import main"),
    (floors, "cellar/x.py", ""),
    (floors, "cli/x.py", "import smapd.attic"),
    (world, "core/x.py", "import time"),
    (world, "core/x.py", "from twisted.internet.defer import Deferred"),
    (world, "cli/x.py", "from twisted.internet import defer"),
    (world, "storage/x.py", "from twisted.internet import task"),
    (one_reactor, "core/x.py", "from twisted.internet import reactor"),
    (one_reactor, "server.py", "from twisted.internet import reactor"),
    (
        one_reactor,
        "server.py",
        "try:\n    import twisted.internet.reactor\nexcept ImportError:\n    pass",
    ),
    (one_reactor, "runtime/x.py", "def f():\n    from twisted.internet import reactor as r"),
    (one_reactor, "cli/x.py", "def f():\n    import klein"),
    (thread_doors, "core/x.py", "import threading"),
    (thread_doors, "core/x.py", "from concurrent.futures import Future"),
    (thread_doors, "http/x.py", "from twisted.internet import threads"),
    (thread_doors, "http/x.py", "reactor.callFromThread(f)"),
    (thread_doors, "driver/x.py", "loop.call_soon_threadsafe(f)"),
    (one_clock, "core/x.py", "import time as t\nt.monotonic()"),
    (one_clock, "core/x.py", "from time import sleep"),
    (one_clock, "http/x.py", "from datetime import datetime\ndatetime.now(UTC)"),
    (one_clock, "http/x.py", "import datetime\ndatetime.datetime.utcnow()"),
    (one_clock, "http/x.py", "reactor.callLater(1, f)"),
    (one_clock, "runtime/x.py", "from twisted.internet.task import LoopingCall\nLoopingCall(f)"),
    (one_clock, "values.py", "import time\ntime.sleep(1)"),
    (one_clock, "drivers/x/driver.py", "import time\ntime.sleep(1)"),
    (module_state, "core/x.py", "seen = []"),
    (module_state, "core/x.py", "from collections import deque\nseen: deque[int] = deque()"),
    (module_state, "core/x.py", "def f():\n    global n\n    n = 1"),
    (module_state, "core/x.py", "SEEN = {1: 2}\ndef f():\n    SEEN[3] = 4"),
    (module_state, "core/x.py", "SEEN = {1}\nclass A:\n    def f(self):\n        SEEN.add(3)"),
    (module_state, "core/x.py", "SEEN = [1]\ndef f():\n    del SEEN[0]"),
]

KEPT: list[tuple[Rule, str, str]] = [
    (
        floors,
        "core/x.py",
        "from smapd.values import Reading\nfrom .y import z\nimport smapd.core.w",
    ),
    (
        floors,
        "values.py",
        "if TYPE_CHECKING:\n    from smapd.interfaces import ITree",
    ),
    (
        floors,
        "drivers/x/driver.py",
        "from smapd.driver import SmapDriver\nfrom ..system import y\nimport os",
    ),
    (floors, "cli/x.py", "from smapd import __version__, server"),
    (floors, "__init__.py", "__version__ = '1'"),
    (world, "storage/x.py", "from twisted.internet.defer import Deferred"),
    (one_reactor, "server.py", "def run():\n    from twisted.internet import reactor"),
    (one_reactor, "http/x.py", "from klein import Klein"),
    (one_reactor, "core/x.py", "from twisted.internet.interfaces import IReactorTime"),
    (thread_doors, "runtime/pool.py", "import threading"),
    (one_clock, "runtime/clock.py", "import time\ntime.monotonic()"),
    (one_clock, "values.py", "import time\ntime.time_ns()"),
    (one_clock, "drivers/x/driver.py", "import time\nnow = time.monotonic"),
    (one_clock, "core/x.py", "self.time.isoformat()\nclock.sleep(1)\ndatetime.fromisoformat(x)"),
    (module_state, "runtime/periodic.py", "waiting = []"),
    (module_state, "core/x.py", "__all__ = []\nNAMES = {1: 2}\ndef f():\n    return NAMES[1]"),
    (module_state, "core/x.py", "NAMES = [1]\ndef f(NAMES):\n    NAMES.append(1)"),
    (module_state, "core/x.py", "NAMES = [1]\ndef f():\n    NAMES = []\n    NAMES.append(1)"),
    (module_state, "core/x.py", "NAMES = {}\nNAMES |= {1: 2}".replace("{}", "{3: 4}")),
]


@pytest.mark.parametrize(("rule", "name", "source"), BROKEN)
def test_a_break_is_found(rule: Rule, name: str, source: str) -> None:
    found = list(rule(File(name, source)))

    assert found, source
    assert all(text.startswith(name + ":") for text in found)


@pytest.mark.parametrize(("rule", "name", "source"), KEPT)
def test_what_is_allowed_passes(rule: Rule, name: str, source: str) -> None:
    assert list(rule(File(name, source))) == []


def test_every_file_is_read() -> None:
    names = {file.name for file in house()}

    assert {"values.py", "cli/main.py", "storage/datadir.py", "drivers/__init__.py"} <= names


def test_tests_know_drivers_by_one_name() -> None:
    """A class imported as drivers.x and as smapd.drivers.x would be two classes."""
    broken = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line, name in File("cli/x.py", path.read_text("utf-8")).imports()
        if name.split(".")[0] == "drivers"
    ]

    assert broken == []


@pytest.mark.real
@pytest.mark.parametrize(
    "face",
    ["cli", "core", "driver", "util", "loader", "server", "config", "runtime", "storage", "twin"],
)
def test_importing_a_face_installs_no_reactor(face: str) -> None:
    code = (
        f"import sys, smapd.{face}\n"
        "sys.exit(' '.join(sorted({'klein', 'twisted.internet.reactor'} & set(sys.modules))) or 0)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.real
def test_the_commands_start_without_twisted() -> None:
    code = (
        "import sys, smapd.cli, smapd.cli.add, smapd.cli.status\nsys.exit('twisted' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60)

    assert done.returncode == 0


# --- reading code


def _is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the file is imported: all but the inside of functions."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from _at_import(node)


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return _name(value.func) in MUTABLE
    return isinstance(
        value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp
    )


def _is_empty(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return not value.args and not value.keywords or _name(value.func) == "defaultdict"
    if isinstance(value, ast.Dict):
        return not value.keys
    return isinstance(value, ast.List | ast.Set) and not value.elts


def _bound_in(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    """The names that are the function's own."""
    arguments = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
    stored = {
        n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    return arguments | stored


def _changed(node: ast.AST) -> str:
    """The name of what this node changes in place, "" if it changes nothing."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        named = isinstance(node.func.value, ast.Name) and node.func.attr in MUTATORS
        return _name(node.func.value) if named else ""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return node.value.id if isinstance(node.value, ast.Name) else ""
    return ""
