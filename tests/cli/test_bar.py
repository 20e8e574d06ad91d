"""The progress bar: on a terminal alone, and not too often."""

from __future__ import annotations

import io

from smapd.cli.bar import Bar, counted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_is_drawn_five_times_a_second_at_most() -> None:
    out, now = Terminal(), [1_000_000]
    bar = Bar(200, out, lambda: now[0])

    for done in range(100):
        now[0] += 10
        bar.at(done, f"line {done}")
    bar.end()

    assert 4 <= out.getvalue().count("line") <= 6
    assert "[..............................]   0% line 0" in out.getvalue()
    assert "[############..................]  40% line 80" in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[K")


def test_where_the_size_is_not_known_it_only_counts() -> None:
    out = Terminal()

    Bar(None, out, lambda: 10**6).at(5, "line 5")

    assert out.getvalue() == "\r\x1b[Kline 5"


def test_what_is_no_terminal_gets_sentences_alone() -> None:
    out = io.StringIO()
    bar = Bar(10, out)

    bar.at(5, "line 5")
    bar.say("Waiting.")
    bar.end()

    assert out.getvalue() == "Waiting.\n"


def test_one_and_many() -> None:
    assert (counted(1, "row"), counted(0, "row")) == ("1 row", "0 rows")
