"""Somebody at the wall: writes to the gateway past smapd, as a push button or another master does.

python switch.py 7 15     sets the level of luminaire 7 to 15 %
python switch.py 7        switches it off
"""

from __future__ import annotations

import argparse
import socket
import struct


def main() -> None:
    parser = argparse.ArgumentParser(description="Dims one luminaire, or switches it off.")
    parser.add_argument("lamp", type=int, choices=range(1, 41), metavar="LAMP")
    parser.add_argument("level", type=float, nargs="?", help="in percent; without: off")
    parser.add_argument("--port", type=int, default=15040)
    args = parser.parse_args()
    if args.level is None:
        message = struct.pack(">BHH", 5, args.lamp - 1, 0)
    else:
        message = struct.pack(">BHH", 6, args.lamp - 1, round(args.level * 10))
    with socket.create_connection(("127.0.0.1", args.port), timeout=5) as gateway:
        gateway.sendall(struct.pack(">HHHB", 1, 0, len(message) + 1, 1) + message)
        answer = gateway.recv(260)
    if answer[7:] != message:
        raise SystemExit(f"the gateway refuses: {answer[7:].hex(' ')}")


if __name__ == "__main__":
    main()
