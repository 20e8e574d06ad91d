"""A driver that runs the simulated meter in a process of its own, for demos and tests."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import smapd
from smapd.driver import DeviceUnavailable, Option, SmapDriver, integer, port
from smapd.util import periodicSequentialCall

from .transport import load_codec

LOOPBACK = "127.0.0.1"
PORT = 15020

_WATCH_S = 2.0
_END_S = 2.0

# The child finds modules where this process does, also in a checkout that is not installed.
_PROGRAM = """
import json, sys
sys.path[:], room = json.loads(sys.argv.pop(1))
import smapd
smapd.__path__ = room
from smapd.drivers.modbus.simulator import main
sys.exit(main())
"""


class SimulatedMeter(SmapDriver):
    """Runs a simulated three-phase meter, which speaks Modbus/TCP on a loopback port.

    It has no streams of its own: a ModbusDriver with ``Map = three-phase-meter`` reads it.
    """

    OPTIONS = (
        Option("Port", port, PORT, "TCP port of 127.0.0.1; 0 takes a free one"),
        Option("Unit", integer, 1, "unit id it answers to", at_least=1, at_most=247),
    )

    child: subprocess.Popen[bytes] | None = None
    listener: socket.socket | None = None

    def setup(self, opts: Mapping[str, Any]) -> None:
        load_codec()  # for its sentence, if pymodbus is missing
        self.unit: int = opts["Unit"]
        try:
            # here and not in the child: who connects before that one runs waits, and is answered
            self.listener = listen(opts["Port"])
        except OSError as e:
            why = e.strerror or str(e)
            text = f"cannot listen on {LOOPBACK}:{opts['Port']}: {why}"
            raise DeviceUnavailable(text, hint="Choose another Port.") from e
        self.port: int = self.listener.getsockname()[1]
        self.set_metadata("/", {"Extra/ModbusAddress": f"{LOOPBACK}:{self.port}"})

    def start(self) -> None:
        if self.child is None:
            self.launch()
            periodicSequentialCall(self.watch).start(_WATCH_S, now=False)

    def watch(self) -> None:
        """Start it again if it has ended; in a poll thread.

        :raises DeviceUnavailable: if it had.
        """
        if self.child is not None and (status := self.child.poll()) is not None:
            self.launch()
            raise DeviceUnavailable(f"the simulator ended with status {status}; started again")

    def launch(self) -> None:
        """Start the process. It ends by itself when this one is gone, however that came."""
        assert self.listener is not None
        here = json.dumps([sys.path, list(smapd.__path__)])
        fd = self.listener.fileno()
        if self.child is not None and self.child.stdin is not None:
            self.child.stdin.close()
        self.child = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, here]
            + ["--fd", str(fd), "--unit", str(self.unit), "--until-eof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(fd,),
            start_new_session=True,  # Ctrl-C is for the daemon, which then ends it
        )

    def stop(self) -> None:
        child, self.child = self.child, None
        if self.listener is not None:
            self.listener.close()
        if child is None or child.stdin is None:
            return
        child.stdin.close()
        try:
            child.wait(_END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def listen(port: int, address: str = LOOPBACK) -> socket.socket:
    """A socket that listens there.

    :raises OSError: if the port is taken.
    """
    return socket.create_server((address, port))
