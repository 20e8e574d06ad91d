"""drivers/system/metrics.py: what every table promises."""

import pytest

from smapd.drivers.system.machine import Machine
from smapd.drivers.system.metrics import GROUPS, Group, Kind


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.name)
def test_each_stream_has_a_unit_and_a_name_of_its_own(group: Group) -> None:
    """P-07: a unit on every stream."""
    assert all(row.unit for row in group.rows)
    assert len({row.name for row in group.rows}) == len(group.rows)


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.name)
def test_what_grows_comes_both_as_counter_and_as_rate(group: Group) -> None:
    """P-07: rates and cumulative counters."""
    counters = {row.field for row in group.rows if row.kind is Kind.COUNTER}

    assert counters == {row.field for row in group.rows if row.kind is Kind.RATE}


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.name)
def test_machine_can_read_each_group(group: Group) -> None:
    assert callable(getattr(Machine, "_" + group.name))
