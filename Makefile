# `make build` builds and installs nothing; every other target does its own set-up on a fresh Debian machine, as root.

TARGET := x86_64-unknown-linux-musl
BINARY := target/$(TARGET)/release/nodestrap
# A floppy disk, and the size beyond which nothing ships.
SIZE := 1474560
# cargo for what ships, and for what is measured beside it.
CARGO := .ci/cargo
# What a plain `cargo build` is made for in the tests.
PLAIN := --target x86_64-unknown-linux-gnu --target x86_64-unknown-linux-musl
# Demo, fleet and what the benchmark compares with: a package of its own, built where the tests are.
TOOLS := --manifest-path tests/tools/Cargo.toml --target-dir target

.PHONY: all manual figures build build-aarch64 test test-plain test-hostile goldens test-kubernetes differential test-images campaign fuzz seeds miri mutants lint \
	release test-release sign bloat demo bench fleet outage setup setup-faults setup-kubernetes setup-images setup-aarch64 size clean

all: build

build:
	$(CARGO) build --release --locked
	@$(MAKE) --no-print-directory size

# Whole suites: units, plain builds, and the shipped binary with the hostile loopback server, real Kubernetes, machines that
# boot.
test: setup lint test-plain build setup-faults setup-kubernetes setup-images build-aarch64
	.ci/release x86_64
	cargo test --locked --test fuzz --test dependencies
	NODESTRAP=$(CURDIR)/$(BINARY) cargo test --locked --test hostile
	NODESTRAP=$(CURDIR)/$(BINARY) cargo test --locked --no-fail-fast --test faults -- --test-threads=2
	NODESTRAP=$(CURDIR)/$(BINARY) cargo test --locked --no-fail-fast --test architecture --test release --test loopback --test shipped --test kubernetes -- --test-threads=2
	NODESTRAP=$(CURDIR)/$(BINARY) cargo test --locked --no-fail-fast --test differential -- --show-output
	NODESTRAP=$(CURDIR)/$(BINARY) cargo test --locked --test images -- --skip nightly

# Plain builds for gnu and musl, debug and release: units, a debugger, and loopback with one program of each library and each
# profile (the other two differ in nothing that these do not have). The release builds lie elsewhere than what ships.
test-plain: setup setup-faults
	cargo build --locked $(PLAIN)
	cargo build --release --locked --target-dir target/plain $(PLAIN)
	cargo test --locked --lib --test plain $(PLAIN)
	NODESTRAP=$(CURDIR)/target/plain/x86_64-unknown-linux-gnu/release/nodestrap cargo test --locked --no-fail-fast --test loopback -- --test-threads=2
	NODESTRAP=$(CURDIR)/target/x86_64-unknown-linux-musl/debug/nodestrap cargo test --locked --no-fail-fast --test loopback -- --test-threads=2

# The tables of hostile servers; WORDS="tls: yaml:" plays only the cases whose area or name contains one of them.
test-hostile: setup build
	NODESTRAP=$(CURDIR)/$(BINARY) cargo test --locked --test hostile -- $(WORDS)

# Writes down anew what runs do; git shows what has changed.
goldens: export GOLDENS := write
goldens: setup build setup-faults
	rm -f tests/goldens/*.txt
	NODESTRAP=$(CURDIR)/$(BINARY) cargo test --locked --test hostile
	NODESTRAP=$(CURDIR)/$(BINARY) cargo test --locked --test loopback -- --test-threads=8
	NODESTRAP=$(CURDIR)/$(BINARY) cargo test --locked --test faults -- --test-threads=2
	git diff --stat tests/goldens

# The long form of the suites, one line for each; each prints its counts.
campaign: export NODESTRAP := $(CURDIR)/$(BINARY)
campaign: export CAMPAIGN := full
campaign: setup build setup-faults setup-kubernetes
	cargo test --locked --no-fail-fast --test faults -- --test-threads=2
	DIFFERENTIAL_COUNT=10000 DIFFERENTIAL_SEED=$$(date +%s) cargo test --locked --no-fail-fast --test differential -- --show-output
	$(MAKE) --no-print-directory outage NODES=200

# Beside Kubernetes' own code: COUNT inputs for each question, drawn from SEED.
differential: export DIFFERENTIAL_COUNT := $(or $(COUNT),1000)
differential: export DIFFERENTIAL_SEED := $(or $(SEED),1)
differential: setup build setup-kubernetes
	NODESTRAP=$(CURDIR)/$(BINARY) cargo test --locked --no-fail-fast --test differential -- --show-output

# All that is held against real Kubernetes, with one version of it: VERSION=1.36 or another of tests/kubernetes/versions,
# the newest when none is given.
test-kubernetes: export KUBERNETES := $(VERSION)
test-kubernetes: setup build setup-kubernetes
	NODESTRAP=$(CURDIR)/$(BINARY) cargo test --locked --no-fail-fast --test kubernetes -- --test-threads=2

# The manual pages in Markdown, beside their sources; a test holds them the same.
manual:
	.ci/manual

# The second clippy is without the feature `testing`, as the program is built: what only tests use is dead code there.
lint: setup
	cargo fmt --check
	cargo fmt --check --manifest-path tests/tools/Cargo.toml
	cargo clippy --locked --all-targets --test images -- -D warnings
	cargo clippy --locked --lib --bins -- -D warnings
	cargo clippy --locked $(TOOLS) -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items
	.ci/deny
	.ci/scripts

# Each fuzz target for SECONDS under libFuzzer; TARGETS="yaml join" for some of them only.
fuzz: setup
	SECONDS_EACH=$(or $(SECONDS),60) .ci/fuzz $(TARGETS)

# Writes the seeds of the fuzz targets into tests/fuzz/corpus.
seeds: setup
	cargo run --quiet --locked $(TOOLS) --bin seeds

# The units that need neither cryptography nor system calls, where undefined behaviour is seen.
miri: setup
	.ci/miri

# One small change to the code at a time, each of which some test must notice; FILES="src/disk.rs" for other sources than
# those of the trust decision.
mutants: setup
	.ci/mutants $(or $(FILES),src/trust.rs src/trust/*.rs)

# Boots machines with the files of image/, also those that take a minute or more; WORDS="credential cloud" boots only
# those whose names contain one of them.
test-images: setup build setup-kubernetes build-aarch64
	.ci/setup-images nightly
	.ci/release x86_64
	NODESTRAP=$(CURDIR)/$(BINARY) cargo test --locked --test images -- $(WORDS)

# For the other processor.
build-aarch64: setup-aarch64
	$(CARGO) build --release --locked --target aarch64-unknown-linux-musl
	@$(MAKE) --no-print-directory size TARGET=aarch64-unknown-linux-musl

# What people pick up, in target/dist: programs, their symbols, packages, images, bills of materials, provenance, checksums.
release: setup
	.ci/release
	cargo test --locked --test release

# What lintian and rpmlint find in it; the same once more, from elsewhere, bit for bit.
test-release: release
	.ci/lint-packages
	.ci/reproducible

# Signs what `make release` has made, with the OpenSSH key in the file KEY.
sign:
	.ci/sign $(KEY)

# What each crate and module costs in the program.
bloat: setup
	.ci/release x86_64
	.ci/bloat

# Joins a scratch directory to an embedded API server and shows what happened.
demo: setup build
	@echo "building the demo's API server"
	NODESTRAP=$(CURDIR)/$(BINARY) cargo run --quiet --locked $(TOOLS) --bin demo

# nodestrap beside the alternatives, against one real control plane, and held against its budgets. On a quiet machine.
bench: setup build build-aarch64 setup-kubernetes
	$(CARGO) build --release --locked $(TOOLS) --bin baseline_client --bin fleet
	NODESTRAP=$(CURDIR)/$(BINARY) $(CARGO) bench --quiet --locked --bench join
	NODESTRAP=$(CURDIR)/$(BINARY) $(CARGO) run --quiet --release --locked $(TOOLS) --bin fleet

# NODES nodes join one control plane, beside as many polling clients; `make bench` has 500 of them.
fleet: setup build setup-kubernetes
	NODESTRAP=$(CURDIR)/$(BINARY) $(CARGO) run --quiet --release --locked $(TOOLS) --bin fleet $(or $(NODES),5000)

# The control plane and the network fail in the middle of NODES joins each; `make test` has 40 of them.
outage: export NODES := $(or $(NODES),200)
outage: setup build setup-kubernetes
	NODESTRAP=$(CURDIR)/$(BINARY) cargo test --locked --test kubernetes -- --nocapture outage::all

# Every figure in every document, by runs of hours on a quiet machine; NAMES="hostile bench" renews some of them.
figures: setup build build-aarch64 setup-faults setup-kubernetes
	$(CARGO) build --release --locked $(TOOLS) --bin baseline_client --bin fleet
	.ci/figures $(NAMES)

setup:
	.ci/setup

setup-faults: setup
	.ci/setup-faults

setup-kubernetes: setup
	.ci/setup-kubernetes

setup-images: setup
	.ci/setup-images

setup-aarch64: setup
	.ci/setup-aarch64

size:
	@size=$$(stat -c %s $(BINARY)); echo "$(BINARY): $$size bytes of $(SIZE)"; [ "$$size" -le $(SIZE) ]

clean:
	cargo clean
