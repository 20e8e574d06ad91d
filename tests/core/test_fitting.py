"""What fits a long, a double and a string."""

from __future__ import annotations

import enum
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smapd.core.fitting import (
    FITS,
    Unfit,
    described,
    fit_double,
    fit_long,
    fit_quality,
    fit_seqno,
    fit_string,
)
from smapd.values import GOOD, Level, Quality, bad

LONG = "a long goes from -9223372036854775808 to 9223372036854775807"


class Colour(enum.IntEnum):
    RED = 3


class Hostile:
    """Answers nothing that is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (0, 0),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (True, True),
        (np.bool_(False), False),
        (np.int16(-7), -7),
        (np.uint64(2**63 - 1), 2**63 - 1),
        (np.array(5), 5),
        (Colour.RED, 3),
    ],
)
def test_a_long_takes_whole_numbers(value: Any, kept: Any) -> None:
    """SM-06: a bool on a long stays a bool, numpy scalars become plain numbers."""
    found = fit_long(value)
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (2**63, f"{LONG}; 9223372036854775808 is beyond"),
        (-(2**63) - 1, f"{LONG}; -9223372036854775809 is beyond"),
        (2**64, "a long has 64 bits; this number has 65"),
        (2.0**64, f"{LONG}; 1.8446744073709552e+19 is beyond"),
        (-1e300, f"{LONG}; -1e+300 is beyond"),
        (-(2.0**63), "a long takes whole numbers, not float -9.22"),
        (math.inf, "a long takes whole numbers, not float inf"),
        (math.nan, "a long takes whole numbers, not float nan"),
        (-(2**70), "a long has 64 bits; this number has 71"),
        (10**5000, "a long has 64 bits; this number has 16610"),
        (np.uint64(2**63), f"{LONG}; 9223372036854775808 is beyond"),
        (1.5, "a long takes whole numbers, not float 1.5"),
        (3.0, "a long takes whole numbers, not float 3.0"),
        (np.float32(3), "a long takes whole numbers, not a float32"),
        ("3", "a long takes whole numbers, not the text '3'"),
        (None, "a long takes whole numbers, not None (a reading without a value needs "),
        (np.array([5]), "a long takes whole numbers, not a ndarray"),
        (Decimal(3), "a long takes whole numbers, not a Decimal"),
        (Hostile(), "a long takes whole numbers, not a Hostile"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_long_refuses_the_rest(value: Any, why: str) -> None:
    """SM-06: beyond 64 bits is refused."""
    with pytest.raises(Unfit) as caught:
        fit_long(value)
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (1.5, 1.5),
        (-0.0, -0.0),
        (3, 3.0),
        (2**63 - 1, float(2**63 - 1)),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.longdouble(2), 2.0),
        (np.int8(4), 4.0),
        (np.bool_(True), 1.0),
        (np.array(2.5), 2.5),
        (Decimal("2.5"), 2.5),
        (Fraction(1, 4), 0.25),
        (math.inf, math.inf),
        (np.float32("-inf"), -math.inf),
    ],
)
def test_a_double_takes_numbers_as_plain_floats(value: Any, kept: float) -> None:
    """SM-06: an int on a double series is a double; infinities are legal."""
    found = fit_double(value)
    assert found == kept
    assert type(found) is float


def test_a_double_takes_nan() -> None:
    """SM-06"""
    assert math.isnan(fit_double(math.nan))
    assert math.isnan(fit_double(np.float32("nan")))


@pytest.mark.parametrize(
    "value",
    [2**63, -(2**63) - 1, 10**400, "1.5", b"1", 1j, None, np.array([1.0]), Decimal("sNaN")]
    + [np.datetime64("2020-01-01"), np.complex128(1), object(), [], Hostile()],
    ids=lambda value: type(value).__name__,
)
def test_a_double_refuses_the_rest(value: Any) -> None:
    """SM-06"""
    with pytest.raises(Unfit, match=r"double (takes numbers|has 64 bits|goes)"):
        fit_double(value)


def test_a_string_takes_text_of_64_kib() -> None:
    """SM-06"""
    assert fit_string("") == ""
    assert fit_string("é" * 32768) == "é" * 32768
    assert type(fit_string(np.str_("on"))) is str
    for value in ("x" * 65537, "é" * 32769, "\ud800", b"on", 1, None, 1.0, np.array(["on"])):
        with pytest.raises(Unfit):
            fit_string(value)


@given(st.sampled_from(["long", "double", "string"]), st.from_type(object))
def test_whatever_is_given_fits_or_is_unfit(data_type: str, value: Any) -> None:
    """SM-06: nothing but Unfit is raised, and what is kept is of the plain type."""
    try:
        kept = FITS[data_type](value)
    except Unfit as unfit:
        kept = unfit
    if isinstance(kept, Unfit):
        assert len(str(kept)) < 200
        return
    assert type(kept) in {"long": (int, bool), "double": (float,), "string": (str,)}[data_type]


def test_a_quality_is_one_of_ours_and_its_reason_is_cut() -> None:
    """U-03"""
    assert fit_quality(GOOD) is GOOD
    assert fit_quality(bad("x" * 2000)) == Quality(Level.BAD, "x" * 1000)
    assert fit_quality(bad("a\ud800")) == Quality(Level.BAD, "a?")
    for given_ in ("bad", (2, "x"), Quality(2, "x"), Quality(Level.BAD, None)):  # type: ignore[arg-type]
        with pytest.raises(Unfit):
            fit_quality(given_)


def test_a_sequence_number_is_whole() -> None:
    assert fit_seqno(np.int32(5)) == 5
    for seqno in (1.0, True, "1", 2**63, 2**64):
        with pytest.raises(Unfit, match="a sequence number"):
            fit_seqno(seqno)


def test_a_value_is_described_in_few_words() -> None:
    assert described("on\n") == "the text 'on\\n'"
    assert described("x" * 100) == "the text '" + "x" * 41 + "...'"
    assert described(10**30) == "an int"
    assert described(Hostile()) == "a Hostile"
