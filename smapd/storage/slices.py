"""Parts of what a cursor gave."""

from __future__ import annotations

from collections.abc import Sequence

from smapd.values import Gap, JournalBatch, Run


def tail(run: Run, after_seq: int) -> Run | None:
    """The readings of a run behind that seq; None if there are none."""
    skip = after_seq + 1 - run.first_seq
    if skip <= 0:
        return run
    if skip >= len(run.ms):
        return None
    return run._replace(
        first_seq=run.first_seq + skip,
        ms=run.ms[skip:],
        values=run.values[skip:],
        quality=None if run.quality is None else run.quality[skip:],
        seqnos=None if run.seqnos is None else run.seqnos[skip:],
    )


def without(batch: JournalBatch, head: JournalBatch) -> list[Run]:
    """The runs of a batch without the readings of ``head``, a shorter read from the same place."""
    last: dict[int, int] = {}
    for run in head.runs:
        last[run.number] = max(last.get(run.number, -1), run.first_seq + len(run.ms) - 1)
    kept = [tail(run, last[run.number]) if run.number in last else run for run in batch.runs]
    return [run for run in kept if run is not None]


def gaps_of(batch: JournalBatch, why: str) -> list[Gap]:
    """The readings of a batch as what is missing."""
    return [
        Gap(
            run.stream,
            run.path,
            run.first_seq,
            run.first_seq + len(run.ms) - 1,
            min(run.ms),
            max(run.ms),
            len(run.ms),
            why,
        )
        for run in batch.runs
    ]


def oldest_ms(runs: Sequence[Run]) -> int | None:
    """The earliest time in these; None without readings."""
    return min([min(run.ms) for run in runs], default=None)
