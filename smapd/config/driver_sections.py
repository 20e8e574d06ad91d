"""A driver section's class, and its options read by the class's table."""

from __future__ import annotations

from dataclasses import replace

from smapd.config.drivers import Finder, find_driver
from smapd.config.plan import STRUCTURE, FindDriver, NodeSection
from smapd.errors import ConfigError, NoSuchDriver
from smapd.options import OptionTable, Where, hidden_keys, open_urls, show
from smapd.values import Severity


def with_driver(
    section: NodeSection, find: FindDriver = find_driver, where: Where | None = None
) -> NodeSection:
    """This driver section with its class found and its options read.

    For a section whose ``fault`` says that this was not possible before, call it again later. It
    imports the driver's module: on the main or a work thread.

    :raises ConfigError: for an unknown driver or a wrong option.
    :raises MissingExtra: if the driver needs a package that is not installed.
    :raises DriverFailed: if its module raises while it is imported.
    """
    where = where or Where(section=section.path, line=section.line)
    name = section.driver_name
    try:
        cls = (find if isinstance(find, Finder) else Finder(find))(name)
    except NoSuchDriver as e:
        raise ConfigError([where.problem(str(e), "type", show(name))]) from None
    declared = getattr(cls, "OPTIONS", None)
    if declared is None:
        return replace(section, driver=cls, options=section.raw, fault="")
    try:
        table = OptionTable(name, tuple(declared), title=cls.__name__)
    except (TypeError, ValueError, AttributeError) as e:
        text = f"the driver's own OPTIONS are wrong: {e}."
        raise ConfigError([where.problem(text, "type", show(name))]) from None
    own = {k: v for k, v in section.raw.items() if not _is_structure(section, k) or table.find(k)}
    values, problems = table.parse(own, where)
    if any(p.severity is Severity.ERROR for p in problems):
        raise ConfigError(problems)
    return replace(
        section,
        driver=cls,
        options=values,
        hidden=hidden_keys(table, section.raw),
        urls=open_urls(table, section.raw),
        checked=True,
        warnings=tuple(problems),
        fault="",
    )


def _is_structure(section: NodeSection, key: str) -> bool:
    """Whether a key is the tree's and not the driver's."""
    if key in STRUCTURE or key == "Description" or key.startswith("Metadata/"):
        return True
    return section.path == "/" and key == "Properties/Timezone"
