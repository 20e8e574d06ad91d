"""Makes the folder of a new driver: one that works, of a made-up device, with tests that pass.

NAME is the folder and the Python package, like meter or acme_100. In the folder drivers/ of a
smapd checkout the tests go to tests/drivers/NAME, anywhere else to NAME/tests.
"""

from __future__ import annotations

import argparse
import keyword
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from smapd.errors import SmapError

from .template import CASES, PACKAGE, TESTS

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 24


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``new-driver``."""
    parser.add_argument("name", type=_name, metavar="NAME", help="like meter or acme_100")
    parser.add_argument("--dir", default=".", metavar="DIR", help="where to make it; default here")


def run(args: argparse.Namespace) -> int:
    """Make it, and say what to do next.

    :raises SmapError: if something of that name is there already, or it cannot be written.
    """
    layout = Layout.of(args.name, Path(args.dir))
    layout.refuse_taken()
    try:
        _make(layout)
    except OSError as e:
        raise SmapError(f"{e.filename or layout.package}: {e.strerror or e}.") from e
    for line in layout.next_steps():
        print(line)
    return 0


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the files of one driver go. ``package``: its folder; ``tests``: that of its tests.

    ``dotted``: the package as Python names it. ``root``: from where the tests run. ``is_house``:
    whether it becomes one of the drivers that come with smapd.
    """

    name: str
    package: Path
    tests: Path
    dotted: str
    root: Path
    is_house: bool

    @classmethod
    def of(cls, name: str, parent: Path) -> Layout:
        """:raises SmapError: if there is no such folder to make it in."""
        if not parent.is_dir():
            raise SmapError(f"{parent}: there is no such directory.")
        package = parent / name
        root = Path(os.path.abspath(parent)).parent
        marks = (root / "smapd" / "driver", root / "tests" / "drivers", parent / "__init__.py")
        if Path(os.path.abspath(parent)).name == "drivers" and all(m.exists() for m in marks):
            tests = root / "tests" / "drivers" / name
            return cls(name, package, tests, f"smapd.drivers.{name}", root, True)
        return cls(name, package, package / "tests", name, parent, False)

    @property
    def class_name(self) -> str:
        """``acme_100`` gives Acme100Driver."""
        return "".join(part.capitalize() for part in self.name.split("_")) + "Driver"

    def refuse_taken(self) -> None:
        """:raises SmapError: if the folders are there, or Python finds another package first."""
        for there in (self.package, self.tests, self.package.with_suffix(".py")):
            if there.exists() or there.is_symlink():
                raise SmapError(f"{there} is there already; nothing was written.")
        if not self.is_house:
            found = _importable(self.name)
            if found:
                raise SmapError(
                    f"{self.name} is the name of {found}, which Python would find first.",
                    hint=f"Take another name, like {self.name}_driver.",
                )

    def words(self) -> dict[str, str]:
        """What the placeholders of the template stand for."""
        cls, dotted = self.class_name, self.dotted
        own = [(dotted, cls), (f"{dotted}.transport", "Transport")]
        plan, case = ("smapd.config", "load_plan"), ("smapd.testing", "DriverCase")
        words = {
            "@name@": self.name,
            "@Class@": cls,
            "@dotted@": dotted,
            "@title@": "the " + self.name.replace("_", " "),
            "@uuid@": str(uuid4()),
            "@names@": "voltage, current, energy",
            "@imports_driver@": self._imports([plan, *own, case]),
            "@imports_readme@": self._imports([plan, own[0], ("smapd.options", "OptionTable")]),
        }
        words["@sample@"] = filled(PACKAGE["sample.ini"], words)
        return words

    def next_steps(self) -> Iterator[str]:
        """What to do with it, for people."""
        dotted, where = f"{self.dotted}.{self.class_name}", os.path.relpath(self.root)
        place = "" if where == "." else f"cd {where} && "
        yield f"{self.package}: the driver {dotted} of a made-up device."
        if self.is_house:
            yield f"tests     pytest {os.path.relpath(self.tests)}"
            yield f"package   setup.cfg: add {self.dotted} to packages, package_data, entry points"
        else:
            yield f"tests     {place}python -m unittest discover -t . -s {self.name}"
        yield f"try it    {place}run-driver {dotted} --once Address=127.0.0.1"
        yield f"options   {place}smapd docs {dotted}"
        yield "next      registers.py and transport.py: what your device says, and how"

    def _imports(self, found: list[tuple[str, str]]) -> str:
        """The import lines of a test, in the order in which formatters want them."""
        lines = [f"from {module} import {name}" for module, name in sorted(found)]
        if self.is_house:
            return "\n".join(lines)
        theirs = [line for line in lines if line.startswith("from smapd.")]
        return "\n".join([*theirs, "", *(line for line in lines if line not in theirs)])


def filled(text: str, words: Mapping[str, str]) -> str:
    """A text of the template with its placeholders replaced."""
    for placeholder, word in words.items():
        text = text.replace(placeholder, word)
    return text


def files(layout: Layout) -> Iterator[tuple[Path, str]]:
    """Every file of the new driver, and what is in it."""
    words = layout.words()
    for name, text in PACKAGE.items():
        yield layout.package / name, filled(text, words)
    if not layout.is_house:
        yield layout.tests / "__init__.py", ""  # so that test runners find the package beside it
    for name, text in TESTS.items():
        yield layout.tests / filled(name, words), filled(text, words)
    for case, parts in CASES.items():
        for name, text in parts.items():
            yield layout.tests / "testcases" / case / name, filled(text, words)


def _make(layout: Layout) -> None:
    """All of it or nothing: what fails takes back what was made."""
    tops = [layout.package] if layout.tests.is_relative_to(layout.package) else []
    tops = tops or [layout.package, layout.tests]
    made: list[Path] = []
    try:
        for top in tops:
            top.mkdir()
            made.append(top)
        for file, text in files(layout):
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as f:
                f.write(text)
    except BaseException:
        for top in made:
            shutil.rmtree(top, ignore_errors=True)
        raise


def _importable(name: str) -> str:
    """What of that name can be imported from elsewhere than here, in words; "" if nothing."""
    if name in sys.stdlib_module_names:
        return "a module of Python's own"
    with suppress(ImportError, ValueError):
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            file = Path(spec.origin).resolve()
            folder = file.parent.parent if file.name == "__init__.py" else file.parent
            return "" if folder == Path.cwd() else "an installed package"
    return ""


def _name(text: str) -> str:
    if not _NAME.fullmatch(text) or keyword.iskeyword(text):
        low = "_".join(re.findall(r"[a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", text).lower()))
        close = f"; did you mean {low}?" if low != text and _NAME.fullmatch(low) else ""
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name of a package: small letters, digits and _, like acme_100{close}"
        )
    if len(text) > _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is longer than {_LONGEST} letters")
    return text
