# `make help` lists the commands; what takes more than a few lines lies in e2e/.
.PHONY: help demo lesson test fmt lint crds manifests deny e2e signing-card registry sigstore chaos door bench cost soak node weight fuzz readers false-alarms conformance pictures release release-twice clean
.DEFAULT_GOAL := help

help: ## lists these commands
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 22

demo: ## tells the story on a real control plane; KEEP=1 leaves it up until Ctrl-C
	@e2e/prerequisites.sh cargo go cc gpg git
	cargo build --locked --package charttrust --package charttrust-e2e --bins
	@cargo run --locked --quiet --package charttrust-e2e --bin demo -- $(if $(KEEP),--keep)

lesson: ## checks a lesson of docs/training in the lab of `make demo KEEP=1`: make lesson 1 (2, 3)
	@cargo run --locked --quiet --package charttrust-e2e --bin lesson -- $(filter 1 2 3,$(MAKECMDGOALS))

# The number of a lesson is no target of its own.
.PHONY: 1 2 3
1 2 3:
	@:

test: ## runs every check and every test
	@e2e/check.sh

fmt: ## formats the code
	cargo fmt --all

lint: ## checks format and clippy's rules
	@e2e/check.sh format clippy

crds: ## writes crds/, the chart's copy and the tables of docs/spec, from the types
	cargo run --locked --quiet --package charttrust --example write-crds

manifests: ## writes operator/install/ from the operator's chart
	@e2e/prerequisites.sh cargo go cc
	cargo run --locked --quiet --package charttrust-e2e --bin manifests

deny: ## checks licences, bans, sources and advisories of what we depend on
	@e2e/check.sh deny advisories

e2e: ## runs the user stories on a real control plane
	@e2e/check.sh operator testbed e2e

signing-card: ## signs charts by a PKCS#11 token in software
	@e2e/check.sh operator card

registry: ## runs the stories of charts in real OCI registries
	@e2e/check.sh operator registry

sigstore: ## runs the stories of charts that real cosign signs, by a Sigstore on loopback
	@e2e/check.sh operator sigstore

node: ## installs the operator on a real node, where Pods run and a network obeys (root, Linux)
	@e2e/check.sh node

door: ## tells the stories of the webhook, with every cell of docs/admission-table.md
	@e2e/check.sh operator testbed door

chaos: ## makes every write fail in every way, on the real server
	@e2e/check.sh operator testbed chaos

bench: ## counts what many releases and hostile neighbours cost, on the real server, with the setting of the chart; ROW=P15 for a part, N=1000 for so many releases
	cargo build --locked --release --package charttrust --package charttrust-floors --bins
	cargo build --locked --package charttrust-e2e --bins
	@MALLOC_ARENA_MAX=1 cargo run --locked --quiet --package charttrust-e2e --bin bench -- $(ROW) $(if $(N),--sizes $(N)) $(ARGS)

cost: ## counts instructions and allocations of work that may not cost more than e2e/cost/figures.json says; WRITE=1 writes that
	@e2e/prerequisites.sh cargo cc valgrind
	@cargo run --locked --quiet --package charttrust-cost -- $(if $(WRITE),--write)

soak: ## lets releases come and go for MINUTES=30 while the API server fails now and then, and draws target/soak.html
	cargo build --locked --release --package charttrust --bin charttrust
	cargo build --locked --package charttrust-e2e --bins
	@MALLOC_ARENA_MAX=1 cargo run --locked --quiet --package charttrust-e2e --bin soak -- $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

weight: ## measures what releases and hostile sources make the operator hold in memory, with the setting of the chart
	MALLOC_ARENA_MAX=1 cargo test --locked --package charttrust --test weight -- --nocapture

false-alarms: ## installs the charts below CHARTS=DIR signed, and lists every false alarm
	@e2e/prerequisites.sh cargo go cc gpg
	cargo build --locked --package charttrust --package charttrust-e2e --package charttrust-false-alarms --bins
	@cargo run --locked --quiet --package charttrust-false-alarms -- $(ARGS) "$(CHARTS)"

conformance: ## verifies Sigstore bundles of other projects (and those of sigstore-conformance in DIR=DIR), and lists what differs
	@cargo run --locked --quiet --package charttrust-verify --example conformance -- "$(DIR)"

pictures: ## draws the report of PAGE=FILE (by default the example) in a browser, and checks that everybody can read it
	@e2e/pictures.sh $(PAGE)

release: ## builds into dist/ what is published; KEY=FINGERPRINT signs it, IMAGE=REGISTRY/NAME and URL=https://… say where it will be
	@e2e/prerequisites.sh cargo cc git
	@e2e/release.sh

release-twice: ## builds that twice from nothing, in two folders, and compares every byte: takes half an hour
	@e2e/prerequisites.sh cargo cc git
	@e2e/release.sh twice

readers: ## asks Helm's own code and gpgv of bytes that our readers take, and stops where they differ (docs/fuzzing.md)
	@e2e/check.sh readers

fuzz: ## looks for bytes of which something does not hold, SECONDS=600 for each target or TARGET=name (docs/fuzzing.md)
	@e2e/prerequisites.sh cargo cc c++
	@FUZZ_SECONDS=$(or $(SECONDS),600) FUZZ_TARGET=$(TARGET) e2e/fuzz/run.sh

clean: ## removes what cargo built; programs in the user's cache folder stay
	cargo clean
