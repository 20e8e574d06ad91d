"""The names of [agent NAME]: one sentence for each that is none, or is served twice."""

from __future__ import annotations

import pytest

from smapd.desired.options import AgentSettings, problems_of, why_no_name


def agent(name: str, *names: str) -> AgentSettings:
    return AgentSettings(name, frozenset(names or (name,)))


@pytest.mark.parametrize("name", ["edge", "hall 3", "plant-1.example", "Süd", "a"])
def test_these_are_names(name: str) -> None:
    assert why_no_name(agent(name)) == ""


@pytest.mark.parametrize("name", ["", " ", "..", "../x", "a,b", "a]", "x/y", "a\nb", "x" * 101])
def test_what_no_address_or_id_could_hold_is_no_name(name: str) -> None:
    assert "is no name of an agent" in why_no_name(agent(name, "fine"))


def test_an_agent_serves_names_that_an_id_can_hold() -> None:
    assert "'a,b' is no agent name of a resource" in why_no_name(agent("edge", "a,b"))
    assert why_no_name(AgentSettings("edge", frozenset())) == "it serves no agent name."


def test_each_name_is_served_by_one_agent() -> None:
    found = problems_of([agent("a", "x", "y"), agent("b", "y"), agent("")])

    assert [str(one) for one in found] == [
        "[agent b] Agents: y is served by [agent a] already; each name is by one agent.",
        "[agent] '' is no name of an agent: write up to 100 letters, without comma, slash or"
        " bracket.",
    ]
