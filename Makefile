# Everything a person does here, one target each; `make` alone lists them. Recipes are silent, and whatever installs talks on
# stderr, so that `make demo ARGS=--json` prints nothing but the demo's own output.

PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(if $(shell command -v $(name)),$(name))))
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check --retries 5 --timeout 60
# The project itself: everything that it needs, setuptools too, is there by then, and each file was compared with its hash.
OURS   := PYTHONWARNINGS=ignore $(PIP) --no-deps --no-build-isolation -e .
# For every Python from 3.11 on, and every platform; versions that the lock has stay. setuptools builds the project.
LOCK   := echo 'setuptools>=77' | $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
          --no-annotate --custom-compile-command 'make lock' $(ARGS) -
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-long faults fuzz soak test-unit check format services services-stop keep-release bench lock audit sbom clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@echo '  ARGS="..." is handed to demo, the tests, faults, fuzz, soak and bench.'

demo: $(VENV)/.runtime  ## install, then the main job over three simulated regions, with no service needed
	@$(VENV)/bin/region-sync demo $(ARGS)

test: venv  ## install, provision services, run every test but the slow ones; stop what was not running before
	@$(PY) -m tests.services run $(PY) -m pytest -m "not slow" $(ARGS)

test-long: venv  ## the long forms of tests: thousands of changes and schedules
	@$(PY) -m tests.services run $(PY) -m pytest -m slow $(ARGS)

faults: venv  ## kill, freeze and cut off everything, 200 times; exit 1 when something is lost or brought back
	@$(PY) -m tests.faults $(ARGS)

test-unit: venv  ## only the tests that need no service
	@$(PY) -m pytest tests/unit $(ARGS)

check: venv  ## style, types, layers, sizes
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy -p tests.services
	@$(VENV)/bin/lint-imports
	@$(PY) tests/check_sizes.py

format: venv  ## write the code in the house's form
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

services: venv  ## RabbitMQ, Kafka and MariaDB on ports of their own, below .services/
	@$(PY) -m tests.services start

services-stop:  ## end them, and remove their data
	@if [ -x $(PY) ]; then $(PY) -m tests.services stop; fi

keep-release: venv  ## at a release: keep HEAD as the release before, for the tests of upgrades (ARGS=COMMIT for another)
	@$(PY) -m tests.services run $(PY) -m tests.releases $(ARGS)

bench: venv  ## the benchmarks, printed as ratios
	@$(PY) -m tests.services run $(PY) -m tests.benchmarks $(ARGS)

soak: venv  ## 30 minutes of load (ARGS="--minutes 5"): latencies, and whether memory, files, tasks, connections grow
	@$(PY) -m tests.services run $(PY) -m tests.soak $(ARGS)

fuzz: venv  ## the long form of bad input: hundreds of thousands of damaged messages, answers, settings
	@$(PY) -m pytest tests/unit/hostile -m slow $(ARGS)

venv: $(VENV)/.dev  ## .venv with everything for development; again only after a change of pyproject.toml or the lock

lock: $(VENV)/.dev  ## the two locks anew after a change of pyproject.toml; ARGS=--upgrade takes newer versions too
	@$(LOCK) pyproject.toml -o requirements.lock
	@$(LOCK) pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock

audit: venv  ## ask the index whether a locked version has a known hole; fails where it cannot be asked
	@$(VENV)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
	    -r requirements-dev.lock $(ARGS) || \
	    { echo 'NOT AUDITED, or with holes: see above. The index must offer vulnerability data; ARGS="-s osv" asks another service.' >&2; exit 1; }

sbom: venv  ## sbom.json: what an installation consists of (CycloneDX), from requirements.lock
	@$(VENV)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON \
	    -o sbom.json requirements.lock
	@echo sbom.json

clean: services-stop  ## remove .venv, .services and all caches
	@rm -rf $(VENV) .services build dist sbom.json *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.dev: $(VENV)/bin/pip pyproject.toml requirements.lock requirements-dev.lock
	@echo 'installing into $(VENV) ...' >&2
	@$(PIP) --require-hashes -r requirements-dev.lock >&2
	@$(OURS) >&2
	@touch $(VENV)/.runtime $@

$(VENV)/.runtime: $(VENV)/bin/pip pyproject.toml requirements.lock
	@echo 'installing into $(VENV) ...' >&2
	@$(PIP) --require-hashes -r requirements.lock >&2
	@$(OURS) >&2
	@touch $@

# pip comes last when a venv is made, so a run that died half-way is noticed here and done again.
$(VENV)/bin/pip:
	@[ -n "$(PYTHON)" ] && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'Python 3.11 or newer is needed: install it, or name one with make PYTHON=...' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	    { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	      { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends python3-venv; } >&2; } || \
	    { echo "Python's venv module is missing: install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) >&2
