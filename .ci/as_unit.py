"""Runs a systemd unit's service without systemd, for as long as another command takes.

    python3 .ci/as_unit.py UNIT-FILE INSTANCE COMMAND…

As root. What it takes from the unit: ExecStart, User, WorkingDirectory, StateDirectory, UMask,
MemoryDenyWriteExecute where the kernel has a switch for it, no privileges and no capabilities,
readiness, watchdog, and both timeouts. COMMAND runs once the service says that it is ready; then
the service gets SIGTERM. The exit status is 0 if COMMAND's was, and the service said READY=1,
WATCHDOG=1 and STOPPING=1, and ended with 0, all in time.
"""

import configparser
import contextlib
import ctypes
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STATE = "/var/lib"
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1


class Failed(Exception):
    """What the service or the command did not do."""


def main(unit: str, instance: str, *command: str) -> None:
    service = read(unit)
    data = state_directory(service, instance)
    with tempfile.TemporaryDirectory(prefix="as-unit-") as home:
        os.chmod(home, 0o755)
        listener = Listener(Path(home, "notify"))
        with open(Path(home, "output"), "w+", encoding="utf-8") as output:
            child = start(service, instance, data, listener.path, output)
            try:
                supervise(service, child, listener, command)
            except BaseException:
                output.seek(0)
                print(output.read(), file=sys.stderr)
                raise
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)  # what it started, too
                child.wait()
                listener.close()


def supervise(
    service: dict[str, str],
    child: "subprocess.Popen[bytes]",
    listener: "Listener",
    command: tuple[str, ...],
) -> None:
    began = time.monotonic()
    listener.wait("READY=1", float(service["TimeoutStartSec"]), child)
    print(f"ready after {time.monotonic() - began:.2f} s, as {owner(child.pid)}")
    done = subprocess.run(command, timeout=60)
    if done.returncode:
        raise Failed(f"{shlex.join(command)} ended with {done.returncode}")
    listener.wait("WATCHDOG=1", float(service["WatchdogSec"]), child)
    began = time.monotonic()
    child.send_signal(signal.SIGTERM)
    try:
        status = child.wait(float(service["TimeoutStopSec"]))
    except subprocess.TimeoutExpired:
        raise Failed(f"still running {service['TimeoutStopSec']} s after SIGTERM") from None
    print(f"stopped after {time.monotonic() - began:.2f} s with {status}")
    listener.wait("STOPPING=1", 1, child)
    if status:
        raise Failed(f"it ended with {status}")


def read(unit: str) -> dict[str, str]:
    """The settings of [Service]; of one that stands twice, the last."""
    found = configparser.ConfigParser(interpolation=None, strict=False)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(Path(unit).read_text("utf-8"))
    return dict(found["Service"])


def state_directory(service: dict[str, str], instance: str) -> str:
    """Make it as systemd does: the last of its names is the service's, those before are root's."""
    path = Path(STATE, service["StateDirectory"].replace("%i", instance))
    path.parent.mkdir(0o755, parents=True, exist_ok=True)
    if not path.exists():
        path.mkdir()
    shutil.chown(path, service["User"], service["Group"])
    path.chmod(int(service["StateDirectoryMode"], 8))
    return str(path)


def start(
    service: dict[str, str], instance: str, data: str, notify: Path, output: object
) -> "subprocess.Popen[bytes]":
    user = service["User"]
    dropped = ["setpriv", f"--reuid={user}", f"--regid={service['Group']}", "--init-groups"]
    dropped += ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    # WATCHDOG_PID is that of the process itself, which a shell that execs it knows.
    dropped += ["sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh"]
    line = service["ExecStart"].replace("%i", instance).replace("%S", STATE)
    return subprocess.Popen(
        dropped + shlex.split(line),
        stdin=subprocess.DEVNULL,
        stdout=output,  # type: ignore[arg-type]
        stderr=subprocess.STDOUT,
        cwd=service["WorkingDirectory"],
        umask=int(service["UMask"], 8),
        start_new_session=True,
        preexec_fn=no_new_code if service.get("MemoryDenyWriteExecute") == "yes" else None,
        env={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "USER": user,
            "LOGNAME": user,
            "HOME": pwd.getpwnam(user).pw_dir,
            "SHELL": "/usr/sbin/nologin",
            "STATE_DIRECTORY": data,
            "NOTIFY_SOCKET": str(notify),
            "WATCHDOG_USEC": str(int(float(service["WatchdogSec"]) * 1e6)),
        },
    )


def no_new_code() -> None:
    """No memory that is written becomes code: Linux 6.3 and later; older ones refuse the call."""
    ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0)


def owner(pid: int) -> str:
    return pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name


class Listener:
    """The supervisor's end of sd_notify(3)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._heard: set[str] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        path.chmod(0o666)
        self._socket.settimeout(0.2)

    def wait(self, message: str, limit_s: float, child: "subprocess.Popen[bytes]") -> None:
        """Until it came, now or before."""
        ends = time.monotonic() + limit_s
        while message not in self._heard:
            with contextlib.suppress(TimeoutError):
                self._heard.update(self._socket.recv(4096).decode().splitlines())
                continue
            if child.poll() is not None:
                raise Failed(f"it ended with {child.returncode}, and never said {message}")
            if time.monotonic() > ends:
                raise Failed(f"no {message} within {limit_s:.0f} s")

    def close(self) -> None:
        self._socket.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("as_unit: out of time"))
    try:
        main(*sys.argv[1:])
    except Failed as e:
        sys.exit(f"as_unit: {e}")
