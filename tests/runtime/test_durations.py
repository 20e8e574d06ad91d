"""runtime/durations.py: how long things took, in counters of fixed size."""

from __future__ import annotations

from smapd.runtime.durations import BOUNDS_S, Durations


def test_each_bound_counts_all_that_took_no_longer() -> None:
    """P-12: a bound itself is counted with it, as Prometheus' ``le`` says."""
    took = Durations()
    for seconds in (0.0, 0.001, 0.0011, 1.0, 11.0):
        took.add(seconds)

    shown = took.status()

    at_most = dict(map(tuple, shown["at_most"]))
    assert (at_most[0.001], at_most[0.0025], at_most[0.5]) == (2, 3, 3)
    assert (at_most[1.0], at_most[10.0], shown["count"]) == (4, 4, 5)
    assert (shown["sum_s"], shown["last_s"], shown["worst_s"]) == (12.0021, 11.0, 11.0)


def test_nothing_took_less_than_nothing() -> None:
    took = Durations()

    took.add(-1e-7)

    assert (took.count, took.sum_s, took.worst_s) == (1, 0.0, 0.0)
    assert took.status()["at_most"][0] == [BOUNDS_S[0], 1]


def test_the_bounds_grow() -> None:
    assert list(BOUNDS_S) == sorted(set(BOUNDS_S))
