# Two commands for newcomers: `make demo` and `make test`. Both set up everything they need in .venv.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := schemas tokens clients/python clients/console clients/witness broker
# Tests start some hundred processes: where this is set, each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help translations dev demo demo-console test test-long bench bench-quick check fmt lint types generate drift audit lock build clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(STAMP): requirements.lock $(addsuffix /pyproject.toml,$(PACKAGES))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed (PYTHON=... chooses one)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	# The lock is complete: nothing is resolved anew, so no later release of anything can break or change it.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix -e ./,$(PACKAGES))
	@touch $@

dev: $(STAMP)  ## set up .venv from the locked requirements

demo: $(STAMP)  ## run the main job on real records, on SQLite
	$(BIN)/python -m demo

# A third process, since many tests wait for clocks and other processes. Each begins with neighbouring tests, so that
# what a module shares is made by one of them; who is done takes over a part of what is left to another.
demo-console: $(STAMP)  ## two agencies' consoles side by side, with the demo's data, until stopped
	$(BIN)/python -m demo.consoles

test: $(STAMP)  ## run all tests (under ten minutes); as root it installs Debian packages that some need
	tools/debian_packages.sh
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not long" $(PYTEST_ARGS)

test-long: $(STAMP)  ## what takes up to an hour: many fault rounds, large sizes
	tools/debian_packages.sh
	$(BIN)/python -m pytest -n 3 -m long -o faulthandler_timeout=3600 $(PYTEST_ARGS)
	$(BIN)/python -m pytest -n 2 -m "not long" -o faulthandler_timeout=3600 --hypothesis-profile=full \
	  tests/property tests/scenarios/test_client_outbox.py
	COUNTERMARK_SCREENSHOTS=all $(BIN)/python -m pytest -n 2 -m "not long" tests/browser

bench-quick: $(STAMP)  ## ratios to what the machine can do at most, in under two minutes
	$(BIN)/python -m bench.quick

bench: bench-quick  ## all measurements: some ten minutes on a machine that does nothing else
	out=$$(mktemp) && trap "rm -f $$out" EXIT && for name in flood listeners disk audit; do \
	  $(BIN)/python bench/$$name.py > $$out && cat $$out > bench/results/$$name.json || exit 1; \
	done

check: lint types drift build  ## everything that is checked without running the product

fmt: $(STAMP)  ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

generate: $(STAMP)  ## write all generated files anew
	$(BIN)/python tools/generate_translations.py
	$(BIN)/python tools/generate_schemas.py
	$(BIN)/python tools/generate_messages.py
	$(BIN)/python tools/generate_openapi.py
	$(BIN)/python tools/generate_errors.py

translations: $(STAMP)  ## bring the console's catalogues up to date with its texts
	$(BIN)/python tools/generate_translations.py

drift: $(STAMP)  ## are generated files and migrations up to date?
	$(BIN)/python tools/generate_schemas.py --check
	$(BIN)/python tools/check_schemas.py
	$(BIN)/python tools/generate_messages.py --check
	$(BIN)/python tools/generate_openapi.py --check
	$(BIN)/python tools/generate_errors.py --check
	$(BIN)/python tools/generate_translations.py --check
	$(BIN)/python tools/check_migrations.py

build: $(STAMP)  ## build the wheels and check what is in them
	$(BIN)/python tools/check_wheels.py

audit: $(STAMP)  ## known vulnerabilities in the locked requirements
	$(BIN)/python tools/audit.py

lock:  ## lock the requirements anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-emit-package countermark-protocol --no-emit-package countermark-client --no-emit-package countermark-broker \
	  --no-emit-package countermark-witness --no-emit-package countermark-tokens --no-emit-package countermark-console \
	  requirements.in -o requirements.lock
	for part in requirements build; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	    --no-emit-package countermark-protocol --no-emit-package countermark-broker \
	    --constraint requirements.lock docker/$$part.in -o docker/$$part.lock; \
	done

clean:
	rm -rf $(VENV) .demo .demo-console dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
