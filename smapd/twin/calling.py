"""The thread on which a thing's callbacks come: one at a time, in the order of what was told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from smapd.runtime.program import Flag, Mailbox, ProgramThread

from .callbacks import call

Spawn: TypeAlias = Callable[[str, Callable[[], object]], ProgramThread]
Mail: TypeAlias = Mailbox[Callable[[], object] | None]


class CallThread:
    """Made anew by each ``start``; methods from any thread."""

    def __init__(self, name: str, spawn: Spawn) -> None:
        self._name, self._spawn = name, spawn
        self._mail: Mail = Mailbox()
        self._thread: ProgramThread | None = None
        self._last: ProgramThread | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it runs: also after ``end``, while a callback goes on."""
        return self._last is not None and self._last.is_alive()

    def is_current(self) -> bool:
        """Whether the caller is on it."""
        return self._thread is not None and self._thread.is_current()

    def empty(self) -> Mail:
        """What was given to the one before is not for the next: what to give to ``start``."""
        mail: Mail = Mailbox()
        self._mail = mail
        return mail

    def start(self, mail: Mail) -> None:
        """Begin to call what is given, and what was since ``empty``."""
        self._thread = self._last = self._spawn(self._name, lambda: _calls(mail))

    def end(self, timeout_s: float) -> bool:
        """Call what was given, then nothing more; waits so long. Whether it ended."""
        self._mail.put(None)
        thread, self._thread = self._thread, None
        return thread is None or thread.join(timeout_s)

    def give(self, job: Callable[[], object]) -> None:
        """Call this behind all that was given before."""
        self._mail.put(job)

    def later(self, f: Callable[[], object]) -> None:
        """Call ``f``, whatever it raises; safe in a destructor."""
        self._mail.put(lambda: call("an end of a request", f))

    def wait(self, timeout_s: float) -> bool:
        """Wait until what was given before is dealt with; not on the thread itself."""
        thread = self._thread
        if thread is None or thread.is_current() or not thread.is_alive():
            return True
        reached = Flag()
        self._mail.put(reached.set)
        return reached.wait(timeout_s)

    def run_here(self) -> None:
        """Do what waits, here and now; for one made without a thread."""
        while len(self._mail):
            job = self._mail.take()
            if job is not None:
                job()


def _calls(mail: Mail) -> None:
    while True:
        job = mail.take()
        if job is None:
            return
        job()
        del job  # what it holds is free before the next one comes
