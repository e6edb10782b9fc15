# What a person or a machine does with this repository. `make` alone says what there is.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test check bench

CARGO ?= cargo
# The folder that `make run` plays: make run EXAMPLE=examples/fleet
EXAMPLE ?= examples/quickstart

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build hozen and play an example: inventories in, time line and report out (EXAMPLE=examples/quickstart)
	@$(CARGO) build --quiet --profile quick --package hozen-cli --bin hozen
	@tests/bin/run "$(EXAMPLE)"

test: ## every test of the workspace, with counts of passed, failed and not run; installs what is missing when it may
	@tests/bin/test

check: ## format, lints, documentation, licences and sources of dependencies, generated files
	@tests/bin/check

bench: ## measure: matching, planning, forecasting (criterion; results under target/criterion)
	$(CARGO) bench --workspace --benches
