# The one door to NovaCron. `make` alone lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

CARGO ?= cargo
# `make demo ONCE=1` runs through, takes everything down and exits with a status.
ONCE ?=
# `make chaos ROUNDS=50 SEED=7` replays a run.
ROUNDS ?= 50
SEED ?=
# `make fresh-test REVISION=v1.0` tries another commit than HEAD.
REVISION ?= HEAD
# `make bench-fleet QUICK=1` takes under ten minutes instead of half an hour, and so does bench-dwcp.
QUICK ?=
# `make bench-dwcp TRACES=DIR` measures recorded links, CSV files of `run,second,mbps`, as well.
TRACES ?=

LAB := target/debug/novacron-lab

.PHONY: help
help: ## List the targets
	@echo "NovaCron"
	awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what is missing to build, run and test (Debian; nothing when nothing is)
	@scripts/setup.sh build lab

.PHONY: build
build: ## Build the programs and the lab
	@scripts/setup.sh build
	$(CARGO) build --workspace --bins

.PHONY: demo
demo: ## Run a fleet of 3 members and 3 hosts with real VMs; ONCE=1 takes it down again
	@scripts/setup.sh build lab
	$(CARGO) build --workspace --bins
	NOVACRON_BIN_DIR=target/debug $(LAB) demo $(if $(ONCE),--once)

.PHONY: demo-down
demo-down: ## Take the demo down
	@[ ! -x $(LAB) ] || $(LAB) down demo

.PHONY: lab-down
lab-down: ## Take down every lab on this machine, and what killed runs left behind
	@[ ! -x $(LAB) ] || $(LAB) down --all

.PHONY: test
test: ## Run every test of the workspace, end to end on real QEMU included
	@scripts/setup.sh build lab
	$(CARGO) build --workspace --bins
	export NOVACRON_BIN_DIR="$$PWD/target/debug"
	scripts/test.sh --workspace

.PHONY: check
check: ## Judge the tree without writing to it: format, lints, licences, rules, units
	@scripts/setup.sh build check
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked --quiet -- -D warnings
	$(CARGO) deny --log-level error check bans licenses sources
	scripts/check-advisories.sh
	$(CARGO) test --locked --quiet --package novacron-tests --test tidy
	packaging/check-units.sh
	$(CARGO) build --workspace --bins --locked --quiet
	packaging/check-config.sh

.PHONY: advisories
advisories: ## Ask the RustSec database about our dependencies, and fail without it
	@scripts/setup.sh build check
	$(CARGO) deny check advisories

.PHONY: fix
fix: ## Format, and apply the lints' own suggestions
	@$(CARGO) fmt --all
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged

.PHONY: chaos
chaos: ## Random requests under kill -9, ROUNDS=50 of them; SEED=n replays
	@scripts/setup.sh build lab
	$(CARGO) build --workspace --bins
	export NOVACRON_BIN_DIR="$$PWD/target/debug" NOVACRON_ROUNDS=$(ROUNDS)
	$(if $(SEED),export NOVACRON_SEED=$(SEED))
	$(CARGO) test --package novacron-tests --test chaos -- --nocapture

.PHONY: fuzz
fuzz: ## Fuzz every decoder for a minute each; FUZZ_SECONDS=n for longer
	@fuzz/run.sh

fuzz-%: ## Fuzz one decoder, such as fuzz-call
	@fuzz/run.sh $*

.PHONY: bench
bench: bench-fleet bench-consensus bench-dwcp bench-predict bench-hde ## Run every benchmark

.PHONY: bench-fleet
bench-fleet: ## Latency, fail-over and memory, beside peers; QUICK=1 is a subset
	@scripts/setup.sh build
	$(CARGO) build --release --package novacron-controlplane --package novacron-agent \
		--package novacron-cli --package novacron-bench
	NOVACRON_BIN_DIR=target/release target/release/novacron-bench fleet $(if $(QUICK),--quick)

.PHONY: bench-consensus
bench-consensus: ## Writes, reads and their cost beside etcd; QUICK=1 is a subset
	@scripts/setup.sh build
	$(CARGO) build --release --package novacron-controlplane --package novacron-agent \
		--package novacron-cli --package novacron-bench
	NOVACRON_BIN_DIR=target/release target/release/novacron-bench consensus $(if $(QUICK),--quick)

.PHONY: bench-dwcp
bench-dwcp: ## The transport beside TCP, gRPC, quinn and s2n-quic; root; QUICK=1, TRACES=DIR
	@scripts/setup.sh build
	$(CARGO) build --release --package novacron-bench
	$(CARGO) build --release --locked --manifest-path bench/peers/Cargo.toml --target-dir target
	target/release/novacron-bench dwcp $(if $(QUICK),--quick) $(if $(TRACES),--traces $(TRACES))

.PHONY: bench-predict
bench-predict: ## Predicted bandwidth beside simple predictors, on recorded links; TRACES=DIR
	@scripts/setup.sh build
	$(CARGO) build --release --package novacron-bench
	target/release/novacron-bench predict $(if $(TRACES),--traces $(TRACES))

.PHONY: bench-hde
bench-hde: ## Compression and deltas beside every fixed choice; QUICK=1 is a subset
	@scripts/setup.sh build lab
	$(CARGO) build --release --package novacron-bench
	target/release/novacron-bench hde $(if $(QUICK),--quick)

.PHONY: package
package: ## Build the Debian packages into target/debian
	@scripts/setup.sh build package
	packaging/build-debs.sh

.PHONY: package-test
package-test: ## Install the packages in a Debian 12 of its own, under a real systemd
	@packaging/test-install.sh

.PHONY: fresh-test
fresh-test: ## Run the demo and every test in a fresh Debian 12; REVISION=HEAD
	@scripts/fresh-system.sh $(REVISION)
