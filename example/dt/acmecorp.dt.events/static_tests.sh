#!/bin/sh
# Compiles and lints this package, and checks what its setup.py says.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
$python -m compileall -q acmecorp/dt/events
$python -m ruff check --no-cache acmecorp/dt/events setup.py
$python setup.py -q check -mrs
