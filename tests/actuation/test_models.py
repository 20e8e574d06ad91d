"""Which states each model has, and how it describes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from smapd.actuation import (
    BinaryModel,
    ContinuousIntegerModel,
    ContinuousModel,
    IntegerModel,
    NStateModel,
    StateModel,
)


@pytest.mark.parametrize(
    ("text", "state"),
    [("0", 0), ("1", 1), ("on", 1), ("OFF", 0), (" On\t", 1), ("2", None), ("true", None)]
    + [("", None), ("1.0", None), ("-1", None), ("yes", None)],
)
def test_binary_takes_0_1_on_and_off(text: str, state: int | None) -> None:
    """SM-33: as recorded; case and outer blanks do not count, anything else is None."""
    model = BinaryModel()

    assert model.parse_state(text) == state
    assert model.valid_state(state) is (state is not None)


def test_binary_takes_what_a_device_gives() -> None:
    """SM-33: drivers use parse_state on numbers, too."""
    assert [BinaryModel().parse_state(x) for x in (True, 0, 1.0, np.bool_(True))] == [1, 0, 1, 1]


def test_binary_may_have_other_words() -> None:
    """SM-33: a class may replace the description, as in sMAP."""

    class Valve(BinaryModel):
        control_description = {"States": [["0", "closed"], ["1", "open"]]}

    assert (Valve().parse_state("Open"), Valve().parse_state("on")) == (1, None)


def test_discrete_takes_what_is_in_its_list() -> None:
    """SM-33: a whole number among Values."""
    model = NStateModel([1, 2, 5])

    assert [model.valid_state(model.parse_state(t)) for t in ("1", " 5 ", "3", "-1")] == [
        True,
        True,
        False,
        False,
    ]
    assert model.get_description() == {"Model": "discrete", "Values": [1, 2, 5]}
    assert (model.translate_state(5), model.translate_state(4)) == (2, None)


def test_discrete_states_may_be_texts() -> None:
    """SM-33: as the original's file driver has them."""
    model = NStateModel(["cat", "dog", " "])

    assert [model.parse_state(t) for t in ("dog", " cat ", " ", "cow")] == [
        "dog",
        "cat",
        " ",
        "cow",
    ]
    assert model.valid_state("cat")
    assert not model.valid_state("cow")
    assert model.control_data_type == "string"


@pytest.mark.parametrize(
    ("states", "why"),
    [([], "at least one"), ([1.5], "whole numbers or texts, not 1.5"), ([1, "a"], "all texts")]
    + [([None], "not None")],
)
def test_a_list_that_is_none_is_refused(states: Any, why: str) -> None:
    """SM-33: when it is made, in a sentence."""
    with pytest.raises(ValueError, match=why):
        NStateModel(states)


def test_continuous_takes_numbers_of_its_range_and_its_ends() -> None:
    """SM-33: Min <= x <= Max; NaN is no state."""
    model = ContinuousModel([10.0, 30.5])

    taken = [t for t in ("10", "30.5", "20", "9.999", "30.6", "nan", "inf") if ok(model, t)]
    assert taken == ["10", "30.5", "20"]
    assert model.get_description() == {"Model": "continuous", "MinValue": 10.0, "MaxValue": 30.5}
    assert model.control_data_type == "double"


def ok(model: StateModel, text: str) -> bool:
    return model.valid_state(model.parse_state(text))


def test_continuous_integer_takes_whole_numbers_of_its_range() -> None:
    """SM-33: described as the original does, by States."""
    model = ContinuousIntegerModel((0, 100))

    assert [t for t in ("0", "100", "-1", "101") if ok(model, t)] == ["0", "100"]
    with pytest.raises(ValueError, match="not a whole number"):
        model.parse_state("1.5")
    assert model.get_description() == {"Model": "continuousInteger", "States": [0, 100]}


def test_integer_takes_any_of_64_bits() -> None:
    """SM-33: the documented IntegerActuator."""
    assert [t for t in ("0", str(2**63 - 1), str(2**63)) if ok(IntegerModel(), t)] == [
        "0",
        str(2**63 - 1),
    ]


@pytest.mark.parametrize(
    ("given", "why"),
    [((1,), "lowest, highest"), (5, "lowest, highest"), ((2, 1), "goes up"), ("ab", "lowest")]
    + [((0, float("inf")), "ends"), ((float("nan"), 1), "goes up")],
)
@pytest.mark.parametrize("kind", [ContinuousModel, ContinuousIntegerModel])
def test_a_range_that_is_none_is_refused(kind: Any, given: Any, why: str) -> None:
    """SM-33: when it is made, in a sentence."""
    with pytest.raises(ValueError, match="range of an actuator"):
        kind(given)


def test_a_range_may_come_as_texts_or_from_a_map() -> None:
    """SM-33: options of a driver that has no table are text."""
    assert ContinuousModel(["0", "10"]).control_description == {"MinValue": 0.0, "MaxValue": 10.0}
    assert ContinuousModel(map(float, "19")).control_description == {  # type: ignore[arg-type]
        "MinValue": 1.0,
        "MaxValue": 9.0,
    }


def test_a_model_of_ones_own_says_what_it_lacks() -> None:
    """SM-33: the base knows no states."""
    with pytest.raises(NotImplementedError, match="StateModel has no parse_state"):
        StateModel().parse_state("1")
    with pytest.raises(NotImplementedError, match="StateModel has no valid_state"):
        StateModel().valid_state(1)
