"""Prints the keys of a driver's section, or of [server], a report and the like, with defaults.

What the keys are, their types and defaults come from where they are read, so this cannot be out of
date.
"""

from __future__ import annotations

import argparse
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from smapd.errors import NoSuchDriver, SmapError

if TYPE_CHECKING:
    from smapd.options import OptionTable

_WIDTH: Final = 100


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``docs``."""
    parser.add_argument(
        "name",
        nargs="?",
        metavar="DRIVER|SECTION",
        help="a driver's name, or that of a section, like server; without it: what there is",
    )
    parser.add_argument("--markdown", action="store_true", help="as a README has it")


def run(args: argparse.Namespace) -> int:
    """Print it.

    :raises NoSuchDriver: if it is neither a section nor a driver.
    :raises SmapError: if the driver's module cannot be imported, or its OPTIONS are wrong.
    """
    known = sections()
    if args.name is None:
        _list(known)
        return 0
    table = known.get(args.name.strip("[]"))
    if table is not None:
        title = (
            f"[{table.section}]"
            if table.section == "server"
            else f"[{table.section.removesuffix('*')} NAME]"
        )
        print("\n".join(_page(title, "", table, args.markdown)))
        return 0
    dotted, doc, table = of_driver(args.name, known)
    print("\n".join(_page(dotted, doc, table, args.markdown)))
    return 0


def sections() -> Mapping[str, OptionTable]:
    """The option tables of the sections that are no nodes, by name."""
    from smapd.assembly import TABLES
    from smapd.options import merge

    return {name.removesuffix("*"): table for name, table in merge(TABLES).items()}


def of_driver(name: str, known: Iterable[str] = ()) -> tuple[str, str, OptionTable | None]:
    """Dotted name, docstring and option table of a driver; no table if its keys are unchecked.

    ``known``: what else the name may have been meant for.

    :raises NoSuchDriver: if there is none of that name.
    :raises SmapError: if its module cannot be imported, or its OPTIONS are wrong.
    """
    from smapd.config import find_driver, list_drivers
    from smapd.options import OptionTable

    drivers = dict(list_drivers())
    try:
        cls = find_driver(name)
    except NoSuchDriver as e:
        raise unknown(e, name, known) from None
    dotted = drivers.get(name, name)
    if dotted.startswith("smap."):
        dotted = "smapd." + dotted[5:]
    doc = inspect.cleandoc(cls.__doc__ or "")
    declared = getattr(cls, "OPTIONS", None)
    if declared is None:
        return dotted, doc, None
    try:
        return dotted, doc, OptionTable(dotted, tuple(declared), title=cls.__name__)
    except (TypeError, ValueError, AttributeError) as e:
        raise SmapError(f"{dotted}: its OPTIONS are wrong: {e}.") from None


def unknown(error: NoSuchDriver, name: str, known: Iterable[str] = ()) -> NoSuchDriver:
    """This error with the name that was most likely meant, and where to find the others.

    ``known``: what else than a driver it may have been meant for.
    """
    from smapd.config import list_drivers
    from smapd.options import nearest

    drivers = dict(list_drivers())
    close = nearest(name, [*known, *(drivers.values() if "." in name else drivers)])
    guess = f" Did you mean {close}?" if close and "Did you mean" not in error.message else ""
    return NoSuchDriver(error.message + guess, hint="`smapd drivers` lists them.")


def _list(known: Mapping[str, OptionTable]) -> None:
    from smapd.config import list_drivers

    print("sections  " + ", ".join(known))
    print("drivers   " + ", ".join(short for short, _ in list_drivers()))


def _page(title: str, doc: str, table: OptionTable | None, markdown: bool) -> Iterator[str]:
    yield f"# {title}" if markdown else title
    if doc:
        yield from ("", doc) if markdown else (doc,)
    yield ""
    if table is None:
        yield "It takes any key, and checks none."
    elif not table.options:
        yield "It has no options."
    elif markdown:
        yield table.markdown().rstrip("\n")
    else:
        yield from _rows(table)


def _rows(table: OptionTable) -> Iterator[str]:
    described = table.describe()
    names = max(len(name) for name, *_ in described)
    for name, kind, default, meaning in described:
        value = default if default == "required" else f"default {default}" if default else ""
        yield f"{name:{names}}  {', '.join(filter(None, (kind, value)))}"
        indent = " " * (names + 2)
        yield from textwrap.wrap(
            meaning, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
