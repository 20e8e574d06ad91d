"""``smapd desired agent NAME``: an agent as a process of its own, on the machine it looks after."""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
from types import FrameType
from typing import Any

from smapd.errors import BadRequest, NoSuchBlob
from smapd.options import duration, words

from . import peer
from .exits import OK
from .output import say
from .peer import Answered, Peer

WORK_S = 60.0
"""How long an answer to a request for work may take; the daemon holds it for 25 s."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``desired agent``."""
    parser.add_argument("name", metavar="NAME", help="what the agent is called")
    parser.add_argument("--agents", metavar="A,B", help="agent names that it serves; its own")
    parser.add_argument("--handlers", metavar="M,N", default="", help="modules with the handlers")
    parser.add_argument("--threads", type=int, default=4, help="resources at a time; default 4")
    parser.add_argument(
        "--repair-interval", metavar="TIME", default="10m", help="default 10m; 0: never"
    )
    parser.add_argument(
        "--time-limit", metavar="TIME", default="5m", help="for one resource; default 5m"
    )
    parser.add_argument(
        "--device", metavar="FIELD", default="", help="of one device, one at a time"
    )
    parser.add_argument(
        "--accept-code", action="store_true", help="a version may bring handlers along"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C.

    :raises SmapError: if handlers cannot be imported, or the daemon will not have this agent.
    """
    from smapd.desired.options import AgentSettings, why_no_name
    from smapd.desired.remote import RemoteAgent

    if args.threads < 1 or args.threads > 200:
        raise BadRequest(f"--threads {args.threads}: write a number from 1 to 200.")
    settings = AgentSettings(
        name=args.name,
        names=frozenset(words((args.agents or args.name).split(","))),
        handlers=tuple(words(args.handlers.split(","))),
        threads=args.threads,
        repair_s=_time("--repair-interval", args.repair_interval),
        time_limit_s=max(1.0, _time("--time-limit", args.time_limit)),
        accept_code=args.accept_code,
        device=args.device,
    )
    why = why_no_name(settings)
    if why:
        raise BadRequest(f"smapd desired agent {args.name}: {why}")
    sys.path.insert(0, os.getcwd())
    agent = RemoteAgent(settings, DaemonOverHttp(peer.find(args)), say, random.random)
    agent.start()
    signal.signal(signal.SIGTERM, _end)
    say(f"agent {args.name} serves {', '.join(sorted(settings.names))}")
    try:
        agent.ask()
    except KeyboardInterrupt:
        pass
    finally:
        agent.stop()
    return OK


class DaemonOverHttp:
    """The daemon as ``desired.remote`` wants it; any thread."""

    def __init__(self, daemon: Peer) -> None:
        self._daemon = daemon
        daemon.timeout_s = WORK_S

    def work(self, agent: str, body: Any) -> Any:
        """Ask for work; held open by the daemon."""
        return self._daemon.post(f"/desired/agents/{agent}/work", body)

    def results(self, agent: str, body: Any) -> Any:
        """Tell results."""
        return self._daemon.post(f"/desired/agents/{agent}/results", body)

    def version(self, n: int) -> Any:
        """What a version is, without its resources."""
        return self._daemon.get(f"/desired/versions/{n}", {"limit": 1})

    def blob(self, sha256: str) -> bytes:
        """The bytes of a file.

        :raises NoSuchBlob: if the daemon has none of that name.
        """
        try:
            return self._daemon.get_bytes(f"/desired/blobs/{sha256}")
        except Answered as error:
            if error.status in (400, 404):
                raise NoSuchBlob(error.message) from error
            raise


def _time(option: str, text: str) -> float:
    try:
        return duration(text)
    except ValueError as e:
        raise BadRequest(f"{option} {text}: {e}") from None


def _end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
