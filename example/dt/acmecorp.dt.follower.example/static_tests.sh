#!/bin/sh
# Compiles and lints this package, and checks what its setup.py says.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
$python -m compileall -q acmecorp/follower/example
$python -m ruff check --no-cache acmecorp/follower/example setup.py
$python setup.py -q check -mrs
