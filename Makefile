# Each target sets up what it needs. `make run` and `make test` are the two to know.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CHROMIUM := DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test check bench bless docs lock clean

$(VENV)/.run: requirements-build.lock requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed (Debian: apt-get install python3 python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Set PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "venv is missing (Debian: apt-get install python3-venv)"; exit 1; }
	@echo "installing what Bartizan needs into $(VENV) ..."
	@$(BIN)/pip install --quiet --no-compile --require-hashes -r requirements-build.lock -r requirements.lock
	@$(BIN)/pip install --quiet --no-compile --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	@echo "installing what the tests need into $(VENV) ..."
	@$(BIN)/pip install --quiet --no-compile --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.chromium: | $(VENV)/.dev
	@command -v chromium >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || { \
		echo "installing Chromium, which the tests of pages need ..."; \
		$(CHROMIUM) || { apt-get update -qq && $(CHROMIUM); } }
	@command -v chromium >/dev/null || { echo "The tests of pages need Chromium as \`chromium\` (Debian: apt-get install chromium)"; exit 1; }
	@touch $@

run: $(VENV)/.run
	@exec $(BIN)/python examples/quickstart/run.py

test: $(VENV)/.dev $(VENV)/.chromium
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -n 2 tests/unit tests/golden tests/test_house.py tests/test_kinds.py tests/test_docs.py -n 2

bench: $(VENV)/.dev
	@$(BIN)/python -m bench $(ARGS)

bless: $(VENV)/.dev
	@$(BIN)/python -m pytest tests/golden --bless

docs: $(VENV)/.run
	@$(BIN)/python -m bartizan.cli.reference docs/reference

LOCK = $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header --universal --python-version 3.11
lock: $(VENV)/.dev
	@$(LOCK) pyproject.toml -o requirements.lock
	@$(LOCK) --group build -c requirements.lock -o requirements-build.lock
	@$(LOCK) --group dev -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf $(VENV) .bartizan dist build docs/reference
