"""driver/turns.py: one at a time, in the order of asking."""

from __future__ import annotations

import threading

import pytest

from smapd.driver.turns import Turns


def test_who_has_it_may_have_it_again_later() -> None:
    turns = Turns()
    with turns:
        pass
    with turns:
        pass


@pytest.mark.real
def test_threads_have_it_one_at_a_time_and_in_their_order() -> None:
    turns, seen, inside = Turns(), [], []

    def work(n: int) -> None:
        with turns:
            inside.append(n)
            seen.append((n, len(inside)))
            inside.remove(n)

    threads = []
    with turns:
        for n in range(20):
            threads.append(threading.Thread(target=work, args=(n,)))
            threads[-1].start()
            while len(turns._queue) < n + 2:  # until it waits, so that the order is known
                pass
    for thread in threads:
        thread.join(10)

    assert seen == [(n, 1) for n in range(20)]
