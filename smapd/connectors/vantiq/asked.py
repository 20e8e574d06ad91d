"""The queries of one source, from the server's question to the final answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from .answers import Queries, Query, QueryContext, error_frame, own_error
from .errors import VantiqConnectorException
from .handlers import Beside, Handler, HandlerCalls, end_tasks
from .names import VantiqConnector as names
from .protocol import Queried
from .sending import Sender
from .settings import Limits
from .states import Counters

_SWEEPS = 4


class Asked:
    """Calls the query handler, and sees to it that each query gets one final answer.

    On the sockets' loop.
    """

    def __init__(
        self, source: str, limits: Limits, calls: HandlerCalls, sender: Sender, counters: Counters
    ) -> None:
        self._source, self._limits, self._calls = source, limits, calls
        self._sender, self._counters = sender, counters
        self._open = Queries(limits.open_queries, limits.waiting_bytes)
        self._running = Beside(limits.running_queries)
        self._sweeping: asyncio.TimerHandle | None = None
        self._late: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def admit(self, event: Queried, size: int, handler: Handler | None) -> Query | None:
        """Open a query, to be handled; None if it was refused."""
        self._counters.queries += 1
        if handler is None:
            await self.refuse(
                event.address, "no_handler", "Source {0} answers no queries.", self._source
            )
            return None
        query = Query(event.address, size, asyncio.get_running_loop().time(), handler)
        if not self._open.add(query):
            await self.refuse(
                event.address,
                "busy",
                "Source {0} has {1} open queries already. Ask again later.",
                self._source,
                str(len(self._open)),
            )
            return None
        if self._sweeping is None:
            self._sweep_later()
        return query

    def has_room(self) -> bool:
        """Whether a query that was admitted may be handled at once."""
        return self._running.has_room()

    def add(self, query: Query, message: dict[str, Any]) -> None:
        """Handle a query in a task of its own, as soon as there is room."""
        self._running.add(self._handle, query, message)

    async def handle_here(self, query: Query, message: dict[str, Any]) -> None:
        """Handle a query in the caller's task, which does nothing else any more."""
        await self._running.run_here(self._handle, query, message)

    def answer(
        self, context: Mapping[str, Any], frame: bytes, *, final: bool
    ) -> Coroutine[Any, Any, None]:
        """Send an answer, on this connection or the next.

        :raises VantiqConnectorException: if the query has its final answer.
        """
        query = self._open.find(context)
        if query is None:
            raise VantiqConnectorException(
                f"source {self._source}: this query has its final answer already"
            )
        if final:
            self._close(query)
        else:
            query.since_s = asyncio.get_running_loop().time()
        self._counters.answers += 1
        return self._sender.send(frame)

    async def refuse(self, address: Any, code: str, template: str, *parts: str) -> None:
        """Answer with an error of our own, unless nobody waits for it."""
        if address is None:
            return
        context = {names.RESPONSE_ADDRESS: address}
        frame = error_frame(self._source, context, own_error(code, template, *parts))
        self._counters.errors_answered += 1
        self._counters.answers += 1
        await self._sender.offer(frame)

    async def stop(self, within_s: float) -> int:
        """Drop what has not begun, and give the rest its time; how many were dropped."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        dropped = await self._running.stop(within_s)
        await end_tasks(list(self._late), within_s)
        return dropped

    # --- private

    async def _handle(self, query: Query, message: dict[str, Any]) -> None:
        if query.answered and query.address is not None:
            return  # it waited too long for its turn
        failed = await self._calls.call(
            "query", query.handler, QueryContext(self._source, query), message
        )
        if query.address is None:
            self._open.done(query)
        elif failed is not None and not query.answered:
            self._close(query)
            await self.refuse(
                query.address,
                "handler_failed",
                "The query handler of source {0} failed with {1}; the connector's log says more.",
                self._source,
                type(failed).__name__,
            )

    def _close(self, query: Query) -> None:
        query.answered = True
        self._open.done(query)

    def _sweep_later(self) -> None:
        period_s = self._limits.answer_query_s / _SWEEPS
        self._sweeping = asyncio.get_running_loop().call_later(period_s, self._sweep)

    def _sweep(self) -> None:
        """Answer, with an error, what nobody else will."""
        self._sweeping = None
        limit_s = self._limits.answer_query_s
        for query in self._open.overdue(asyncio.get_running_loop().time() - limit_s):
            self._close(query)
            task = asyncio.create_task(
                self.refuse(
                    query.address,
                    "no_answer",
                    "Source {0} did not answer within {1} s.",
                    self._source,
                    f"{limit_s:g}",
                )
            )
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        if len(self._open):
            self._sweep_later()
