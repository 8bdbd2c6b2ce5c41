# Restore Proof: what a person types. The work is done by scripts/*.sh; `make help` lists it all.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

.PHONY: help demo test test-all sampled lint unit scenarios deaths conformance mutants core-mutants fuzz torture burst advisories certificates package install build-RestoreProofFunction clean

help: ## Show this list
	@sed -nE 's/^([a-zA-Z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 36

demo: ## Backup copies land on this machine and are proven, one after the other
	@scripts/demo.sh

test: ## Set up and run everything that CI runs
	@scripts/test.sh

test-all: ## All of what that samples, and what takes much longer: every mutant, torture, deaths, pages in a browser, the package built elsewhere
	@TIME=$${TIME:-5m} scripts/test.sh all

sampled: ## What `make test` samples and has not run in the last twenty commits: there must be nothing
	@scripts/sampled.sh

lint: ## The checks that compile nothing to run: format, dependencies, templates, clippy, doc
	@scripts/test.sh fmt deny templates clippy doc

unit: ## The unit tests of all crates
	@scripts/test.sh unit

scenarios: ## The scenario tests, on real database and web servers
	@scripts/test.sh scenarios

deaths: ## Kill the function's processes again and again: TIME=5m for so long, SEED=7 for one round
	@scripts/test.sh deaths

conformance: ## AWS calls and IAM policies against what others wrote; the function against moto
	@scripts/test.sh judge local-aws schema doctor scenarios demo records calls moto

mutants: ## Remove each safeguard in turn; the tests must notice
	@scripts/mutants.sh

core-mutants: ## Change one thing after the other in the core; its unit tests must notice (half an hour)
	@scripts/core-mutants.sh

fuzz: ## Look for hostile input that breaks what is read (nightly Rust; TIME=600 make fuzz: ten minutes a target)
	@scripts/fuzz.sh

torture: ## Ten minutes of faults, deaths and random runs; TIME=2h for more, SEED=N to see one again
	@scripts/torture.sh

burst: ## 10,000 copies land at once: each validated once, within the budget; COPIES=1000 for fewer
	@scripts/burst.sh

package: ## In dist/ what installs without Rust: the function's zip, its template, checksums, bill of materials
	@scripts/package.sh

certificates: ## Fetch Amazon RDS's root certificates anew from AWS, into the file that is built in
	@python3 scripts/certificates.py

install: ## Put the command line tool `restore-proof` where cargo keeps programs
	@scripts/install.sh

advisories: ## Known vulnerabilities in the dependencies (needs the internet, so not in `make test`)
	@scripts/test.sh advisories

build-RestoreProofFunction: ## The Lambda bootstrap; called by `sam build`
	@scripts/build-function.sh

clean: ## Delete what builds have left, in the clone and in the cache
	@scripts/clean.sh
