# `make playground` (PORT=8066 for another port) tries Bobbin out, `make test` checks it. Both set up `.venv` first, from
# uv.lock.

# The first interpreter on PATH that is new enough; `make PYTHON=...` names another.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
UV_VERSION := 0.13.9
UV := .uv/bin/uv
export UV_PYTHON_DOWNLOADS := never

.PHONY: setup playground test lint types chaos bench format lock clean

setup: .venv/.locked

playground: setup
	@.venv/bin/bobbin playground $(if $(filter command line,$(origin PORT)),--port $(PORT))

test: lint types
	.venv/bin/pytest -n auto --dist worksteal

lint: setup
	.venv/bin/ruff check
	.venv/bin/ruff format --check

types: setup
	.venv/bin/mypy

# Four hundred kills of a real Bobbin, fifty answers at once under Slack's limits, and a hundred interleavings of all that
# can happen, for each backend: many minutes. Short forms of the first and the last are part of `make test`.
chaos: setup
	@PYTHONPATH=. .venv/bin/python bench/chaos.py
	@.venv/bin/python bench/storm.py
	PROMISES_EXAMPLES=100 .venv/bin/pytest tests/test_promises.py

# What Bobbin adds to the model's own time, as ratios.
bench: setup
	@.venv/bin/python bench/answers.py

format: setup
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

lock: $(UV)
	$(UV) lock --python $(PYTHON)
	@$(MAKE) setup

clean:
	rm -rf .venv .uv .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/.locked: pyproject.toml uv.lock | $(UV)
	@$(UV) sync --quiet --locked --all-extras --python $(PYTHON)
	@touch $@

$(UV):
	@test -n "$(PYTHON)" || { echo "Bobbin needs Python 3.11 or newer on PATH; install it, or run make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "Setting up .venv (once)..."
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
