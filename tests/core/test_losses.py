"""Counting what a full queue turned away."""

from __future__ import annotations

import threading

import pytest

from smapd.core.losses import Losses
from tests.core.support import tree


def test_losses_are_told_once_by_stream() -> None:
    inst = tree()
    a, b = inst.add_timeseries("/a", "V"), inst.add_timeseries("/b", "V")
    losses = Losses()
    losses.lose(a, 3)
    losses.lose(b, 1)
    losses.lose(a, 2)

    assert losses.fresh
    assert dict(losses.collect()) == {a: 5, b: 1}
    assert not losses.fresh
    assert losses.collect() == []

    losses.lose(a, 1)
    assert losses.collect() == [(a, 1)]


def test_a_removed_stream_is_forgotten() -> None:
    a = tree().add_timeseries("/a", "V")
    losses = Losses()
    losses.lose(a, 3)

    losses.forget(a)

    assert losses.collect() == []


@pytest.mark.real
def test_no_loss_is_missed_between_threads() -> None:
    """SM-06: what is dropped is counted exactly."""
    a = tree().add_timeseries("/a", "V")
    losses = Losses()
    told = []
    threads = [
        threading.Thread(target=lambda: [losses.lose(a, 1) for _ in range(20_000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        told += losses.collect()
    told += losses.collect()

    assert sum(count for _, count in told) == 80_000
