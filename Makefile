# Argoseal. `make demo` shows what it does, `make test` holds it to that, and
# with MORE=conformance to every shape; none needs anything set up first.
# `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The development cluster's program and the builder of images.
CLUSTER := go run ./e2e/cluster
IMAGES  := go run ./e2e/images
# What is built from pinned modules (helm, cosign, the API server …), on PATH
# and as ARGOSEAL_BIN_*; it replaces KUBECONFIG, so a user's own is kept apart.
TOOLS := mine="$${KUBECONFIG:-}"; eval "$$($(CLUSTER) env)"; [ -z "$$mine" ] || export KUBECONFIG="$$mine"; \
	export TEST_ASSET_KUBE_APISERVER="$${ARGOSEAL_BIN_KUBE_APISERVER:-}" TEST_ASSET_ETCD="$${ARGOSEAL_BIN_ETCD:-}"

NAMESPACE ?= argoseal-system
RELEASE   ?= argoseal
# For images-push: where images go, such as registry.example.com/argoseal.
REGISTRY ?=
# More arguments for helm, such as HELM_ARGS='--set notary.replicaCount=3'.
HELM_ARGS ?=

# More stages for test, such as MORE=conformance.
MORE ?=

# What `make generate` writes.
GENERATED := pkg/api/v1alpha1/zz_generated.deepcopy.go charts/argoseal/files/crds/*.yaml docs/reference.md

##@ See it

.PHONY: demo
demo: cluster-up build tools-demo ## Show what is sealed and what is refused, on a real cluster (raised if there is none).
	@go run ./e2e/demo

##@ Test it

.PHONY: test
test: ## Unit, golden, integration, end to end, linters, generated files; with MORE=conformance that, too. Takes the cluster down at the end.
	@trap '$(MAKE) cluster-down' EXIT; \
	for stage in tools generated lint integration e2e $(MORE); do \
		echo "== $$stage ($$SECONDS s)"; $(MAKE) $$stage; \
	done; \
	echo "== all of it held, in $$SECONDS s"

.PHONY: unit
unit: ## Unit and golden tests (those of the chart where helm is built: `make tools`).
	@$(TOOLS); go test ./...

.PHONY: integration
integration: tools ## Unit and golden tests, and those against a real API server and a real Rekor.
	@$(TOOLS); go test -tags integration -count=1 ./... # what a test runs beside itself, no cache of results knows

.PHONY: e2e
e2e: cluster-up build tools ## End-to-end tests on the development cluster, which stays up, with Argoseal installed anew.
	@$(TOOLS); ARGOSEAL_E2E_ANEW=1 go test -tags e2e -count=1 -timeout 20m -skip '^TestConformance' ./e2e/suite ./pkg/argo/graph ./pkg/artifact
	@$(TOOLS); go test -tags e2e -count=1 ./charts

.PHONY: conformance
conformance: build tools ## What e2e has no time for: honest workflows of every shape, what Argo's authors ship on both versions of Argo included, run as without Argoseal, and sealed; every kind of policy.
	@$(CLUSTER) up --with argo4,argo-nonroot
	@$(MAKE) install HELM_ARGS="$(HELM_ARGS) --set sealLogs=true" # it looks for Argo's controllers anew
	@$(TOOLS); go test -tags e2e -count=1 -timeout 40m -run '^TestConformance' ./e2e/suite

.PHONY: lint
lint: tools ## Linters, with the pinned version.
	@$(TOOLS); golangci-lint run --allow-serial-runners --build-tags=integration,e2e ./...
	@$(TOOLS); helm lint --quiet charts/argoseal

.PHONY: generated
generated: ## Fail if a generated file is not up to date (it is, afterwards).
	@before="$$(cat $(GENERATED) | sha256sum)"; $(MAKE) generate; \
	[ "$$before" = "$$(cat $(GENERATED) | sha256sum)" ] || { echo "generated files were out of date: commit what \`make generate\` wrote" >&2; exit 1; }

.PHONY: bench
bench: cluster-up build ## Measure what Argoseal costs: one table, and bin/bench.json.
	@go run ./e2e/bench

##@ Build it

.PHONY: build
build: ## Build the command line tool into bin/.
	@CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$$(awk '/^appVersion:/ {print $$2}' charts/argoseal/Chart.yaml)" -o bin/ ./cmd/argoseal

.PHONY: images
images: ## Build the container images and load them into the development cluster, if there is one.
	@$(IMAGES) build
	@$(IMAGES) load

.PHONY: images-push
images-push: ## Build the images and push them to REGISTRY.
	@[ -n "$(REGISTRY)" ] || { echo "REGISTRY is not set: make images-push REGISTRY=registry.example.com/argoseal" >&2; exit 2; }
	@$(IMAGES) push $(REGISTRY)

.PHONY: generate
generate: tools ## Write what is generated: deep copies, CRDs, docs/reference.md.
	@$(TOOLS); controller-gen object paths=./pkg/api/...
	@$(TOOLS); controller-gen crd paths=./pkg/api/... output:crd:dir=charts/argoseal/files/crds
	@go run ./docs/reference

##@ Install it

.PHONY: install
install: $(if $(REGISTRY),images-push,images) ## Install or upgrade the chart in the current cluster (with REGISTRY set: any cluster) and wait until it is ready.
	@$(TOOLS); helm upgrade --install $(RELEASE) charts/argoseal --namespace $(NAMESPACE) --create-namespace \
		--values bin/images/values.yaml $(HELM_ARGS); \
	for part in $$(kubectl --namespace $(NAMESPACE) get statefulsets,deployments --output name); do \
		kubectl --namespace $(NAMESPACE) rollout status $$part --timeout=180s || \
			{ kubectl --namespace $(NAMESPACE) get pods,events >&2; exit 1; }; \
	done

.PHONY: uninstall
uninstall: ## Remove the chart; its keys, records and trusted root stay.
	@$(TOOLS); helm uninstall $(RELEASE) --namespace $(NAMESPACE) --wait --timeout 2m

##@ Development cluster (Linux, root)

.PHONY: cluster-up
cluster-up: ## Raise a real cluster with Argo Workflows and an S3 store (first time: builds it, about 20 minutes).
	@$(CLUSTER) up

.PHONY: cluster-down
cluster-down: ## Remove the cluster and everything it left on this machine.
	@$(CLUSTER) down

.PHONY: kubeconfig
kubeconfig: ## Print the path of the cluster's kubeconfig.
	@$(CLUSTER) kubeconfig

.PHONY: tools
tools: ## Build the pinned tools and servers that tests use (cached).
	@$(CLUSTER) build etcd kubernetes argo rekor-tiles helm cosign controller-tools golangci-lint

.PHONY: tools-demo
tools-demo:
	@$(CLUSTER) build argo rekor-tiles helm cosign

##@ Help

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN { FS = ":.*##"; print "Usage: make <target>" } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-zA-Z0-9_-]+:.*##/ { printf "  %-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
