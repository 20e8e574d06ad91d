# make run    a daemon with live readings of this machine
# make test   every test but the soak counts, in parallel
# make soak   the full counts;  make lint  ruff and mypy;  make bench  the figures
# make wheel  wheel and sdist in dist/;  make deb  the Debian package, in dist/;  make clean

PYTHON ?= python3
DATA ?= smapd-data
RUN ?=

VENV = .venv
PY = $(VENV)/bin/python
PIP = $(PY) -m pip --disable-pip-version-check -q
TESTS = SMAPD_REQUIRE_SERVICES=1 timeout -k 10 $(1) $(PY) -m pytest -q -n auto --dist loadscope

.PHONY: run test soak compiler lint bench wheel deb clean
.DELETE_ON_ERROR:

run: $(VENV)/.installed
	exec $(VENV)/bin/smapd run conf/demo.ini --data-dir $(DATA) $(RUN)

test: $(VENV)/.installed-test compiler
	$(call TESTS,900) -m "not soak"

soak: $(VENV)/.installed-test compiler
	SMAPD_HYPOTHESIS=soak $(call TESTS,14400) -m soak || [ $$? -eq 5 ]

lint: $(VENV)/.installed-test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy --strict smapd
	$(PY) -m mypy drivers

bench: $(VENV)/.installed-test
	set -e; for script in bench/[a-z]*.py; do echo "== $$script"; $(PY) $$script; done

wheel: $(VENV)/.installed-test
	$(PY) -m build -q --outdir dist .

# With /usr/bin/python3, whatever PYTHON says; WHEELS=dir: no index is asked.
deb:
	WHEELS=$(WHEELS) debian/build dist

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .venv-wheel
	find smapd drivers twisted tests bench -name __pycache__ -prune -exec rm -rf {} +

# A disk that fails is played by a small library in C, which the tests build.
compiler:
	@command -v cc >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq gcc libc6-dev; \
	  else \
	    echo "A C compiler is missing; install it with: sudo apt-get install gcc libc6-dev" >&2; \
	    exit 1; \
	  fi; }

# Debian keeps ensurepip apart, in python3-venv: root gets it installed, others the one command.
$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "smapd needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq python3-venv; \
	  else \
	    echo "Python's venv is missing; install it with: sudo apt-get install python3-venv" >&2; \
	    exit 1; \
	  fi; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: setup.cfg setup.py pyproject.toml | $(PY)
	$(PIP) install -e '.[modbus]'
	touch $@

$(VENV)/.installed-test: setup.cfg setup.py pyproject.toml | $(PY)
	$(PIP) install -e '.[modbus,test]'
	touch $@ $(VENV)/.installed
