"""What a test's Vantiq server may do wrong, step by step."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson
from websockets.asyncio.server import ServerConnection

Step: TypeAlias = Literal["http", "login", "source", "running"]
"""Where a script acts: at the WebSocket's opening, when the token has come, when the source has
come, and right behind the configuration."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this status: an HTTP status at "http", a JSON message at "login" and "source"."""

    step: Step
    status: int
    body: Any = None


@dataclass(frozen=True, slots=True)
class Hang:
    """Answer nothing from this step on, and keep the connection."""

    step: Step


@dataclass(frozen=True, slots=True)
class Drop:
    """End the connection: with a close frame of this code, or without any word."""

    step: Step
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Say:
    """Send these frames as they are, text as text and bytes as binary, then go on."""

    step: Step
    frames: tuple[str | bytes, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so long, then go on."""

    step: Step
    seconds: float


Act: TypeAlias = Refuse | Hang | Drop | Say | Pause


async def perform(act: Act, ws: ServerConnection) -> bool:
    """Do it; whether things go on."""
    if isinstance(act, Pause):
        await asyncio.sleep(act.seconds)
        return True
    if isinstance(act, Say):
        for frame in act.frames:
            await ws.send(frame)
        return True
    if isinstance(act, Refuse):
        await send_status(ws, act.status, act.body)
        with contextlib.suppress(TimeoutError):  # who is refused hangs up; else we do
            await asyncio.wait_for(ws.wait_closed(), 1.0)
    elif isinstance(act, Hang):
        await ws.wait_closed()
    elif act.code is None or act.step == "http":
        ws.transport.abort()
        await ws.wait_closed()
    else:
        await ws.close(act.code)
    return False


async def send_status(ws: ServerConnection, status: int, body: Any) -> None:
    message = {"status": status, "contentType": "application/json"}
    if body is not None:
        message["body"] = body
    await ws.send(orjson.dumps(message), text=True)
