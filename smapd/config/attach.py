"""One section into the tree, or out of it; the others need not be touched.

All of it from any thread, as the tree's own methods.
"""

from __future__ import annotations

from collections.abc import Mapping

from smapd.config.plan import NodeSection
from smapd.core import Collection, Node, SmapInstance
from smapd.values import Json


def attach_section(inst: SmapInstance, section: NodeSection) -> Node:
    """Make a section's node, or tag the one that is at its path already; the node.

    Tagging adds metadata, Description and the asset mark, nothing else. [/] sets the tree's default
    timezone. A driver section makes the collection at its place with its metadata: whoever runs
    drivers sets it up there, then calls ``finish_driver_section``. A section that stands ``behind``
    a driver waits for that.

    :raises SmapError: if the tree cannot take it: another one is there.
    """
    node = inst.get(section.path)
    if section.path == "/" and section.timezone is not None:
        inst.set_default_timezone(section.timezone)
    if node is None and section.kind == "timeseries":
        node = inst.add_timeseries(
            section.path,
            section.uuid if section.key is None else section.key,
            unit=section.unit,
            data_type=section.data_type,
            timezone=section.timezone if section.timezone_given else None,
            buffersz=section.buffersz,
            milliseconds=section.milliseconds,
            description=section.description,
            uuid=section.uuid,
            key_encoding="utf-8",
        )
    elif node is None:
        node = inst.add_collection(section.path, asset=section.asset)
        if section.description is not None:
            inst.set_description(section.path, section.description)
    else:
        if section.asset is not None:
            inst.set_asset(section.path, section.asset)
        if section.description is not None:
            inst.set_description(section.path, section.description)
    if section.metadata:
        inst.set_metadata(section.path, section.metadata)
    return node


def finish_driver_section(inst: SmapInstance, section: NodeSection) -> None:
    """After a driver's ``setup``: what its section says wins over what the driver set.

    Does nothing if the place is gone.
    """
    node = inst.get(section.path)
    if node is None:
        return
    if section.metadata and not _holds(node.metadata or {}, section.metadata):
        inst.set_metadata(section.path, section.metadata)
    if section.description is not None and node.description != section.description:
        inst.set_description(section.path, section.description)


def detach_section(inst: SmapInstance, section: NodeSection) -> None:
    """Take a section out of the tree again.

    A timeseries goes; so does a driver's place with all below it, once the driver was stopped. A
    collection goes too, unless something still stands in it: then, and where the section only
    tagged a driver's node, it loses what the section gave it. Does nothing if the node is gone.
    """
    node = inst.get(section.path)
    if node is None:
        return
    is_own = section.behind is None and section.path != "/"
    if is_own and (section.kind != "collection" or not _has_children(node)):
        inst.remove(section.path)
        return
    if section.kind == "driver":  # the driver at the root: what it made goes, the root stays
        for child in list(node.nodes()) if isinstance(node, Collection) else []:
            inst.remove(child.path)
    if section.metadata:
        inst.set_metadata(section.path, _nothing_of(section.metadata))
    if section.description is not None:
        inst.set_description(section.path, None)
    if section.asset is not None:
        inst.set_asset(section.path, None)


def _has_children(node: Node) -> bool:
    return isinstance(node, Collection) and bool(node.children)


def _holds(has: Mapping[str, Json], wanted: Mapping[str, Json]) -> bool:
    """Whether everything wanted is there: setting it again would be told to all subscribers."""
    for key, value in wanted.items():
        there = has.get(key)
        if isinstance(value, Mapping):
            if not isinstance(there, Mapping) or not _holds(there, value):
                return False
        elif there != value:
            return False
    return True


def _nothing_of(metadata: Mapping[str, Json]) -> dict[str, Json]:
    """The change that takes these keys away."""
    return {k: _nothing_of(v) if isinstance(v, Mapping) else None for k, v in metadata.items()}
