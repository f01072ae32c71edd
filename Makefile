# Two commands: `make demo` serves the bundled shop, `make test` runs everything that CI runs.
# Every CI job is a target of its own below. Build results and the Python environment live outside the clone.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/portcullis
export CARGO_TARGET_DIR ?= $(CACHE)/target
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/local/go/bin
export PYTHONDONTWRITEBYTECODE := 1

PRODUCT := target/release/portcullis
PYTHON := $(CACHE)/python/bin/python
CASES := tests/cases
JOBS ?= 2
SIDE_BY_SIDE := benches/side-by-side

REFERENCES := annotations configmap flags

.PHONY: help demo test fmt lint unit walls scripts release docs generated catalogue catalogue-raw cluster-test cluster \
	image kube crds chart manifests bench bench-micro bench-side-by-side bench-profile toolchain python

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: release ## build, then serve examples/shop with embedded echo backends
	exec $(PRODUCT) demo

test: fmt lint unit walls scripts release generated catalogue catalogue-raw chart cluster-test ## everything

# cargo fmt does not follow modules that a macro declares, as the annotation groups are.
fmt: toolchain ## formatting
	cargo fmt --all --check
	find controller/translate/src/annotations -name '*.rs' -exec rustfmt --edition 2024 --check {} +

lint: toolchain ## clippy and rustdoc, warnings are errors
	cargo clippy --workspace --all-targets --features portcullis-tests/cluster --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --features portcullis-tests/cluster --no-deps --locked --quiet

# The whole-process tests of the package tests/ start the binary that the first line builds.
unit: toolchain ## unit, golden, property and whole-process tests
	cargo build --package portcullis --locked
	cargo test --workspace --locked

walls: toolchain ## what each crate may not depend on
	tests/tools/walls

scripts: python ## tests of the scripts around catalogue, benchmarks and image
	$(PYTHON) $(CASES)/test_check.py
	$(PYTHON) $(SIDE_BY_SIDE)/test_harness.py
	$(PYTHON) deploy/image/test_pack.py

# Static, as it is in the image, so that what is tested is what ships.
release: toolchain ## the release binary, as target/release/portcullis
	deploy/image/build $(PRODUCT)

docs: release ## write the generated references in deploy/docs
	for page in $(REFERENCES); do $(PRODUCT) docs $$page >deploy/docs/$$page.md || exit 1; done

crds: toolchain ## write the definitions of the custom resources and their page; then make manifests
	$(CRDGEN)

CRDGEN := cargo run --quiet --locked --package portcullis-crds --bin crdgen --

generated: release ## generated files are current
	@$(CRDGEN) --check
	@for page in $(REFERENCES); do $(PRODUCT) docs $$page | diff deploy/docs/$$page.md - || \
	{ echo "deploy/docs/$$page.md is not what the program writes: make docs" >&2; exit 1; }; done

catalogue: release python ## behaviour catalogue; CASE="area id glob" plays some
	$(PYTHON) $(CASES)/check $(PRODUCT) --jobs $(JOBS) $(CASE)

catalogue-raw: release python ## byte-exact HTTP/1 cases; CASE="group id" plays some
	$(PYTHON) $(CASES)/check $(PRODUCT) --raw $(CASE)

IMAGE := target/image/portcullis.tar
image: release ## the container image, as target/image/portcullis.tar
	deploy/image/archive $(PRODUCT) $(IMAGE)
	deploy/image/check $(IMAGE) $(PRODUCT)

# What Pods of the cluster may ask for, beside the echo backends.
CLUSTER_IMAGES ?= $(IMAGE)
MADE_IMAGE := $(if $(filter $(IMAGE),$(CLUSTER_IMAGES)),image)
IN_CLUSTER = tests/cluster/run $(CACHE) $(addprefix --image ,$(CLUSTER_IMAGES))

cluster-test: kube $(MADE_IMAGE) ## the tests in a real Kubernetes; TEST=PART_OF_NAME
	$(IN_CLUSTER) suite $(TEST)

cluster: kube $(MADE_IMAGE) ## a shell in a cluster with Portcullis and the shop; CMD="COMMAND" runs that instead
	$(IN_CLUSTER) tests/cluster/shop $(or $(CMD),bash)

kube: toolchain ## what a cluster needs: container programs, and Kubernetes, built once
	@tests/cluster/tools/prepare $(CACHE)

chart: python kube ## tests of the chart and its manifests, without a cluster
	HELM=$(CACHE)/kube/helm $(PYTHON) -m unittest discover --start-directory tests/cluster/chart

manifests: python kube ## write what is made from the chart, deploy/manifests among it
	HELM=$(CACHE)/kube/helm $(PYTHON) tests/cluster/chart/generate

bench: bench-micro ## all benchmarks, the one side by side in short; they report and never fail
	$(MAKE) bench-side-by-side PARTS="$(or $(PARTS),compare)" ROUNDS=$(or $(ROUNDS),1) REQUESTS=$(or $(REQUESTS),5000) \
	RESULTS=$(or $(RESULTS),$(CACHE)/side-by-side)

bench-micro: toolchain ## micro-benchmarks
	cargo bench --package portcullis-benches --locked

# PARTS: compare idle workers instructions, or all.
RUN_SIDE_BY_SIDE = $(PYTHON) $(SIDE_BY_SIDE)/run $(PRODUCT) $$CARGO_TARGET_DIR/release/grpc-backend
bench-side-by-side: release python ## beside nginx and HAProxy; ROUNDS, REQUESTS, SCENARIOS, PARTS, RESULTS
	cargo build --release --package portcullis-benches --bin grpc-backend --locked
	$(RUN_SIDE_BY_SIDE) $(or $(PARTS),all) --rounds $(or $(ROUNDS),7) --requests $(or $(REQUESTS),300000) \
	--scenarios "$(SCENARIOS)" --output $(or $(RESULTS),$(SIDE_BY_SIDE)/results)

bench-profile: release python ## where the time goes (perf, strace); SCENARIOS, PROXIES, REQUESTS
	cargo build --release --package portcullis-benches --bin grpc-backend --locked
	$(RUN_SIDE_BY_SIDE) profile --requests $(or $(REQUESTS),100000) --scenarios "$(SCENARIOS)" \
	--proxies "$(or $(PROXIES),portcullis)"

toolchain:
	@tests/tools/toolchain

python:
	@tests/tools/python-env $(CACHE)/python $(CASES)/requirements.txt
