"""``inst.reports``: a program's way to make, change and remove reports.

.. code-block:: python

    inst.reports.add(
        {
            "uuid": "3b2b9b0e-0000-11e1-8000-000000000001",
            "ReportResource": "/+",
            "ReportDeliveryLocation": ["http://archiver.example/add/KEY"],
        }
    )

The keys are those of ``POST /reports``. A report outlives the program: one that is added again at
the next start goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from uuid import UUID, uuid4

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from smapd.core import as_uuid
from smapd.errors import BadRequest, NoSuchReport, ReportExists
from smapd.interfaces import IReports
from smapd.values import Json

_log = Logger()

Report: TypeAlias = Mapping[str, Any]
Home: TypeAlias = Callable[..., Any]
"""``IThreads.to_reactor``, or what calls straight through."""


class Reporting:
    """The reports of one tree. Every method from any thread.

    What does not fit is raised at once. It is on the disk a moment later; what fails there is
    logged, since the reactor's thread cannot wait for it. Before the daemon runs, reports are
    checked and installed when it starts.
    """

    def __init__(self) -> None:
        self._reports: IReports | None = None
        self._home: Home | None = None
        self._waiting: dict[UUID, Report] = {}

    def connect(self, reports: IReports, home: Home) -> None:
        """From now on these; what was added before goes there. For whoever starts the daemon."""
        self._reports, self._home = reports, home
        waiting, self._waiting = self._waiting, {}
        for uuid, report in waiting.items():
            self._call(reports.update, uuid, report, by_program=True)

    def disconnect(self) -> None:
        """The daemon has stopped."""
        self._reports = self._home = None

    def add(self, report: Report) -> UUID:
        """Make a report; its uuid. Without one in ``report`` it gets a new one.

        :raises BadRequest: naming the key that does not fit.
        :raises ReportExists: if another report has that uuid.
        """
        uuid = self._uuid(report.get("uuid", uuid4()))
        whole = {**report, "uuid": str(uuid)}
        if self._reports is None:
            if uuid in self._waiting:
                raise ReportExists("Report instance already exists!")
            self._waiting[uuid] = whole
        else:
            self._call(self._reports.add, whole, by_program=True)
        return uuid

    def update(self, uuid: UUID | str, changes: Report) -> None:
        """Change a report, or make it if there is none; what is left out stays.

        :raises BadRequest: naming the key that does not fit.
        """
        found = self._uuid(uuid)
        if self._reports is None:
            self._waiting[found] = {**self._waiting.get(found, {}), **changes, "uuid": str(found)}
        else:
            whole = {**changes, "uuid": str(found)}
            self._call(self._reports.update, found, whole, by_program=True)

    def delete(self, uuid: UUID | str) -> None:
        """Remove a report with what is pending; nothing happens if there is none."""
        found = self._uuid(uuid)
        if self._reports is None:
            self._waiting.pop(found, None)
        else:
            self._call(self._reports.delete, found)

    def list(self) -> list[UUID]:
        """All reports, those of the config file first, then by age."""
        if self._reports is None or self._home is None:
            return [*self._waiting]
        found: list[UUID] = self._home(self._reports.uuids)
        return found

    def get(self, uuid: UUID | str) -> dict[str, Json]:
        """One report, as GET /reports/UUID shows it.

        :raises NoSuchReport: if there is none.
        """
        found = self._uuid(uuid)
        if self._reports is None or self._home is None:
            if found not in self._waiting:
                raise NoSuchReport(f"There is no report {found}.")
            return dict(self._waiting[found])
        shown: dict[str, Json] = self._home(self._reports.get, found)
        return shown

    def _call(self, f: Callable[..., Deferred[Any]], *a: Any, **named: Any) -> None:
        def call() -> None:
            done = f(*a, **named)
            failures: list[Any] = []
            answered: list[bool] = []

            def failed(failure: Any) -> None:
                if answered:
                    _log.failure("a report could not be kept", failure)
                else:
                    failures.append(failure)

            done.addErrback(failed)
            answered.append(True)
            if failures:
                failures[0].raiseException()

        assert self._home is not None
        self._home(call)

    def _uuid(self, given: Any) -> UUID:
        try:
            return as_uuid(given, "The report's uuid")
        except ValueError as error:
            raise BadRequest(str(error)) from None
