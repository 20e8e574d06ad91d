"""``run-driver --dry-run``: sets a driver up without starting it, and prints the tree it made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from smapd.config import Plan, attach_section, finish_driver_section, namespace, resolve
from smapd.core import SmapInstance, Timeseries
from smapd.driver import DriverHost
from smapd.errors import DriverFailed
from smapd.values import Json

from .peer import printable


def planted(plan: Plan) -> SmapInstance:
    """The tree of a plan whose one section is a driver, set up on this thread.

    :raises DriverFailed: with what its import or ``setup`` raised as the cause.
    :raises SecretUnreadable: if one of its options names a secret that cannot be read.
    """
    (section,) = plan.sections
    if section.driver is None:
        raise DriverFailed(section.path, "import", section.fault)
    inst = SmapInstance(plan.root_uuid)
    attach_section(inst, section)
    scope = inst.scope(section.path, namespace(plan, section))
    DriverHost(section.driver, scope, resolve(section)).setup()
    finish_driver_section(inst, section)
    return inst


def picture(inst: SmapInstance) -> Iterator[str]:
    """The tree, a line a node: path; of a stream also type, unit and uuid.

    Actuator, Description and metadata follow, in lines that begin with four blanks.
    """
    nodes = list(inst.walk())
    width = max((len(path) for path, node in nodes if isinstance(node, Timeseries)), default=0)
    units = max((len(n.unit or "-") for _, n in nodes if isinstance(n, Timeseries)), default=0)
    for path, node in nodes:
        shown = printable(path)
        if isinstance(node, Timeseries):
            unit = printable(node.unit or "-")
            shown = f"{shown:{width}}  {node.data_type:6}  {unit:{units}}  {node.uuid}"
        yield shown
        for key, value in _flat(node.as_json().get("Actuator", {}), "Actuator"):
            yield f"    {printable(key)} = {printable(value)}"
        if node.description is not None:
            yield f"    Description = {printable(node.description)}"
        for key, value in _flat(node.metadata or {}, "Metadata"):
            yield f"    {printable(key)} = {printable(value)}"


def _flat(value: Json, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}/{name}")
    elif isinstance(value, list):
        yield key, ", ".join(map(str, value))
    else:
        yield key, str(value)
