# What a person or a machine does with this repository. `make` alone says what there is.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test check bench fuzz soak crds chart cluster images

CARGO ?= cargo
# The folder that `make run` plays: make run EXAMPLE=examples/fleet
EXAMPLE ?= examples/quickstart
# How many real nodes `make cluster` has
NODES ?= 3

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build hozen and play an example: inventories in, time line and report out (EXAMPLE=examples/quickstart)
	@$(CARGO) build --quiet --profile quick --package hozen-cli --no-default-features
	@tests/bin/run "$(EXAMPLE)"

test: ## every test of the workspace, with counts of passed, failed and not run; installs what is missing when it may
	@tests/bin/test

check: ## format, lints, documentation, licences and sources of dependencies, generated files
	@tests/bin/check

bench: ## measure: matching, planning, forecasting, work on a host (criterion; results under target/criterion)
	$(CARGO) bench --workspace --benches

fuzz: ## feed every parser of foreign data with noise: FUZZ_SECONDS=60 for each target
	@tests/bin/fuzz

soak: ## the property tests with many more cases (SOAK_CASES=20000), all crashes and breakages; the record goes to operator/docs/soak
	@tests/bin/soak

images: ## container images of operator and agent as OCI archives, the same digests from the same sources (target/images)
	@tests/bin/images

cluster: ## a real cluster on this machine, with NODES=3 real nodes; the first time it builds Kubernetes (tests/testbed/README.md)
	@tests/bin/cluster-binaries >/dev/null
	@$(CARGO) run --quiet --package hozen-testbed -- up --nodes $(NODES)

crds: ## write crds/*.yaml anew from the types
	$(CARGO) run --quiet --package hozen-cli --bin hozen -- crds --dir crds

chart: ## write what charts/hozen has from the types and from the table of who may do what
	$(CARGO) run --quiet --package hozen-cli --bin hozen -- manifests --chart charts/hozen
