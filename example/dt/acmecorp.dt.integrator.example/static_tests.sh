#!/bin/sh
# Compiles and lints this package, and checks what its setup.py says.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
$python -m compileall -q acmecorp/integrator/example
$python -m ruff check --no-cache acmecorp/integrator/example setup.py
$python setup.py -q check -mrs
