# The commands of this repository; `make` alone lists them. All run in .venv, which the first makes.

.DEFAULT_GOAL := help
.PHONY: help demo test test-full check format docs bench clean

# Another interpreter: make test PYTHON=python3.12
PYTHON ?= python3
# Data that tests read from outside the repository; a test that wants it skips where it is absent.
QUINCUNX_DATA ?= ../shared/data

BIN := .venv/bin
environment = PYTHON='$(PYTHON)' PYTHON_GIVEN='$(filter command environment,$(origin PYTHON))' \
	GOAL=$@ sh tools/environment.sh
# The folder's absolute path where it exists; otherwise the variable is left as it is.
data = QUINCUNX_DATA="$$(CDPATH= cd '$(QUINCUNX_DATA)' 2>/dev/null && pwd \
	|| echo '$(QUINCUNX_DATA)')"
pytest = $(data) $(BIN)/python -m pytest -n 2

define checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
endef

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: ## install the package and run the demonstration
	@$(environment) compression
	$(BIN)/quincunx demo

test: ## lint, types, contracts and the fast tests
	@$(environment) dev
	$(checks)
	$(pytest) -m "not full"

test-full: ## lint, types, contracts and all tests
	@$(environment) dev
	$(checks)
	$(pytest) --hypothesis-profile=full

check: ## lint, types and contracts
	@$(environment) dev
	$(checks)

format: ## rewrite the source in the one format
	@$(environment) dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: ## build the documentation into site/
	@$(environment) docs
	$(BIN)/mkdocs build --strict

bench: ## run every benchmark; those of a GPU end at once where there is none
	@$(environment) dev
	@set -e; for file in $(filter-out benchmarks/gpu_%,$(wildcard benchmarks/[!_]*.py)); do \
		[ -f "$$file" ] || { echo "No benchmarks yet."; break; }; \
		echo "== $$file"; $(data) $(BIN)/python "$$file" || [ $$? = 2 ]; \
	done

clean: ## remove .venv and everything built
	rm -rf .venv build dist site .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
