"""``acmecorp-dt-integrator-example CONFIG``: the integrator as a process of its own."""

import logging
import sys

from smapd.errors import SmapError
from smapd.twin import ThingRunner

from .impl import IntegratorExample


def main():
    """Run until it is interrupted; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if len(sys.argv) != 2:
        print("usage: acmecorp-dt-integrator-example CONFIG", file=sys.stderr)
        return 2
    try:
        IntegratorExample(config=ThingRunner.from_ini(sys.argv[1])).run()
    except SmapError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
