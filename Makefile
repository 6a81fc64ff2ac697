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
# and as ARGOSEAL_BIN_*; it names the development cluster in KUBECONFIG if that is up, so
# a user's own is kept apart.
TOOLS := mine="$${KUBECONFIG:-}"; eval "$$($(CLUSTER) env)"; [ -z "$$mine" ] || export KUBECONFIG="$$mine"; \
	export TEST_ASSET_KUBE_APISERVER="$${ARGOSEAL_BIN_KUBE_APISERVER:-}" TEST_ASSET_ETCD="$${ARGOSEAL_BIN_ETCD:-}"; \
	export KUBEBUILDER_CONTROLPLANE_START_TIMEOUT=3m KUBEBUILDER_CONTROLPLANE_STOP_TIMEOUT=3m

NAMESPACE ?= argoseal-system
RELEASE   ?= argoseal
# For images-push and install: where images go, such as registry.example.com/argoseal.
REGISTRY ?=
# Where the chart is installed: with REGISTRY in the cluster that the user's own kubectl is
# about, and not in the development cluster, which may be up beside it. Without, never in one
# that nobody has named.
THERE := $(TOOLS); $(if $(REGISTRY),[ -n "$$mine" ] || unset KUBECONFIG,[ -n "$${KUBECONFIG:-}" ] || \
	{ echo "no development cluster is up: make cluster-up; or for any cluster set REGISTRY, or KUBECONFIG" >&2; exit 2; })
# More arguments for helm, such as HELM_ARGS='--set notary.replicaCount=3'.
HELM_ARGS ?=

# More stages for test, such as MORE=conformance.
MORE ?=
# For sentinel-pairs: which, such as PAIRS=6 or PAIRS=7-12.
PAIRS ?=
# For upgrade: the commit whose chart is installed first.
FROM ?=
# How long each target of fuzz runs.
FUZZTIME ?= 1m
# How many of the shortest inputs that fuzz finds new it keeps of each target.
FUZZKEPT ?= 12
# Unit tests look for data races where there is a C compiler, which that needs.
RACE ?= $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

# golang.org/x/vuln, and the reports that it goes by, a module, too: those of a day,
# so that a check of a commit says the same later. `make vulnerabilities VULNDB=latest`
# goes by the newest.
GOVULNCHECK := v1.9.0
VULNDB      ?= v0.0.0-20261105234957-e22db6528018

# What `make generate` writes.
GENERATED := pkg/api/v1alpha1/zz_generated.deepcopy.go charts/*/files/crds/*.yaml docs/reference.md

##@ See it

.PHONY: demo
demo: cluster-up build tools-demo ## Show what is sealed and what is refused, on a real cluster (raised if there is none).
	@go run ./e2e/demo

.PHONY: sentinel-demo
sentinel-demo: build ## Show how all Secrets of a real cluster are encrypted, the key is rotated, and a pod is refused one (6 minutes: API servers look at their file once a minute). Needs no cluster, and no root.
	@$(CLUSTER) build etcd kubernetes
	@$(TOOLS); go run ./e2e/sentinel/demo

##@ Test it

.PHONY: test
test: ## Unit, golden, integration, end to end, linters, generated files; with MORE=conformance that, too. Takes the cluster down before and at the end.
	@$(MAKE) cluster-down; trap '$(MAKE) cluster-down' EXIT; \
	times=; \
	for stage in tools generated lint integration e2e $(MORE); do \
		began=$$SECONDS; echo "== $$stage"; $(MAKE) $$stage; \
		took="$$stage $$((SECONDS - began)) s"; times="$$times, $$took"; echo "== $$took"; \
	done; \
	echo "== all of it held, in $$SECONDS s: $${times#, }"

.PHONY: unit
unit: ## Unit and golden tests, with what fuzzing found (those of the chart where helm is built: `make tools`).
	@$(TOOLS); go test $(RACE) ./...

.PHONY: integration
integration: tools ## Unit and golden tests, and those against a real API server and a real Rekor.
	@$(TOOLS); go test -tags integration -count=1 ./... # what a test runs beside itself, no cache of results knows

.PHONY: e2e
e2e: cluster-up build tools ## End-to-end tests on the development cluster, which stays up, with Argoseal installed anew.
	@$(CLUSTER) build argo-driver fake-gcs-server
	@$(TOOLS); go test -tags e2e -count=1 ./pkg/argo/graph ./pkg/content ./pkg/pin # before the suite: what is built and computed beside it, it waits for
	@$(TOOLS); ARGOSEAL_E2E_ANEW=1 go test -tags e2e -count=1 -timeout 30m -skip '^Test(Conformance|LogsOff|Scrubb)' ./e2e/suite
	@$(TOOLS); go test -tags e2e -count=1 ./charts

.PHONY: sentinel sentinel-sample sentinel-chaos sentinel-pairs sentinel-numbers sentinel-access
sentinel: CASES := -run '^Test(SecretEncryption|SecretEncryptionByAPlugin|SecretsUnderAKeyService)$$'
sentinel: BESIDE := local-kms
sentinel: ## Encryption at rest, set up, rotated and taken away on three API servers under load, with keys and by a KMS plugin (13 minutes each: they look at their file once a minute), and under a key service (about 2).
sentinel-sample: CASES := -run '^TestEncryptionIsSetUp$$'
sentinel-sample: ## Encryption at rest, set up on three API servers under load: what each change has to pass.
sentinel-chaos: CASES := -v -run '^TestSecretEncryptionUnderChaos$$'
sentinel-chaos: ## The same while an operator is paused past its lease, its network is cut, an API server is killed, and etcd loses its quorum (about 10 minutes).
sentinel-pairs: export ARGOSEAL_SENTINEL_PAIRS = $(PAIRS)
sentinel-pairs: CASES := -v -run '^TestEveryPairOfProviders$$'
sentinel-pairs: BESIDE := local-kms
sentinel-pairs: LIMIT := 4h
sentinel-pairs: ## From each provider to each other on three API servers under load: 20 pairs, some minutes each. PAIRS=6 goes through the first six, PAIRS=7-12 through the next.
sentinel-numbers: CASES := -v -run '^TestNumbersOfARotation$$'
sentinel-numbers: ## What it costs to rotate 10,000 Secrets on three API servers.
sentinel sentinel-sample sentinel-chaos sentinel-pairs sentinel-numbers:
	@$(CLUSTER) build etcd kubernetes $(BESIDE)
	@$(TOOLS); go test -tags e2e -count=1 -timeout $(or $(LIMIT),40m) $(CASES) ./e2e/sentinel

# For sentinel-soak: how often, how many at once, and which tests; none are the usual ones.
RUNS    ?= 20
AT_ONCE ?= 1
TESTS   ?=

.PHONY: sentinel-soak
sentinel-soak: ## What sentinel and sentinel-chaos run, RUNS (20) times each, AT_ONCE (1) at once: counts and recovery times as tables, in bin/sentinel-soak. TESTS names others.
	@$(CLUSTER) build etcd kubernetes local-kms
	@$(TOOLS); go run ./e2e/sentinel/soak -runs $(RUNS) -at-once $(AT_ONCE) $(TESTS)

sentinel-access: cluster-up images ## Access to Secrets on the development cluster, while its operator is killed or cut off, and the kubelet is stopped.
	@$(CLUSTER) build helm
	@$(TOOLS); go test -tags e2e -count=1 -timeout 20m -v -run '^TestSecretAccessUnderChaos$$' ./e2e/sentinel

.PHONY: keyless
keyless: ## Seals under certificates of a real Fulcio, for a ServiceAccount of a real API server, in a real Rekor; by cosign, too. (Fulcio takes some minutes to build.)
	@$(CLUSTER) build etcd kubernetes rekor-tiles cosign fulcio timestamp-server
	@$(TOOLS); go test -tags e2e -count=1 -timeout 9m -run '^TestKeyless' ./e2e/interop

# What tests find installed, and how it is.
MARIADB   := mariadbd mariadb-install-db mariadb
NEEDS  = for program in $1; do PATH="$$PATH:/usr/sbin" command -v $$program >/dev/null || \
	{ echo "no $$program: apt-get install mariadb-server-core mariadb-client-core nodejs npm" >&2; exit 2; }; done

.PHONY: interop
interop: build ## Seal in a Rekor v1 with Trillian and MariaDB, and have cosign and npm judge seals of each log, by each kind of signer (first time: builds them; needs Debian's mariadb-server-core and mariadb-client-core, and Node.js with npm).
	@$(call NEEDS,$(MARIADB) node npm)
	@$(CLUSTER) build etcd kubernetes rekor-v1 trillian rekor-tiles cosign gh slsa-verifier chains local-kms vault fulcio timestamp-server
	@$(TOOLS); go test -tags e2e -count=1 -timeout 40m -v -skip '^TestSigners' ./e2e/interop

.PHONY: signers
signers: cluster-up build tools ## Install Argoseal in the development cluster with each kind of signer and each mode of logs, and hold what first light promised (needs MariaDB, as interop does).
	@$(call NEEDS,$(MARIADB))
	@$(CLUSTER) build rekor-v1 trillian local-kms fulcio timestamp-server
	@$(TOOLS); go test -tags e2e -count=1 -timeout 60m -v -run '^TestSigners' ./e2e/interop

.PHONY: scorecard
scorecard: ## The six tests of Operator Scorecard, by their original program, on a bundle of argoseal-sentinel, and on broken ones. (That program takes some minutes to build.)
	@$(CLUSTER) build etcd kubernetes helm scorecard-test
	@$(TOOLS); go test -tags e2e -count=1 -timeout 20m ./e2e/scorecard

# For browser: which; by default one that is found.
CHROMIUM ?= $(firstword $(shell command -v chromium chromium-browser google-chrome))

.PHONY: browser
browser: ## Open what `argoseal trace -o html` writes in a headless Chromium (Debian's package chromium, or CHROMIUM=…), and leave screenshots in bin/browser.
	@[ -n "$(CHROMIUM)" ] || { echo "no Chromium: apt-get install chromium" >&2; exit 2; }
	@mkdir -p bin/browser; ARGOSEAL_BROWSER="$(CHROMIUM)" ARGOSEAL_BROWSER_PICTURES="$(CURDIR)/bin/browser" go test -tags e2e -count=1 ./e2e/browser

.PHONY: fuzz
fuzz: ## Look for inputs that break what reads hostile ones: each target for FUZZTIME, from the corpus in its package's testdata/fuzz, which keeps some of what it finds new.
	@grep -rl --include='*_test.go' '^func Fuzz' pkg webhook | xargs -n 1 dirname | sort -u | while read -r package; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$package/*_test.go); do \
			echo "== $$package $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s ./$$package; \
			found="$$(go env GOCACHE)/fuzz/$$(go list ./$$package)/$$target"; kept=$$package/testdata/fuzz/$$target; \
			[ ! -d "$$found" ] || { mkdir -p $$kept; find "$$found" -type f -size -4 -printf '%s %p\n' | sort -n | sed -n '1,$(FUZZKEPT)s/^[0-9]* //p' | xargs -r cp -t $$kept; }; \
		done; \
	done

.PHONY: conformance conformance-sample
conformance: CASES := -timeout 110m -run '^TestConformance'
conformance: ## What e2e has no time for: honest workflows of every shape, what Argo's authors ship on both versions of Argo included, run as without Argoseal, and sealed; every kind of policy; signers.
conformance-sample: CASES := -timeout 30m -run '^TestConformance(HonestWorkflows|Upstream)$$' -args -sample
conformance-sample: ## Of conformance what CI has time for: every third shape on one version of Argo in turn, and a few of what its authors ship.
conformance: PARTS := ,gcs,registry
conformance: BUILDERS := crane umoci syft
conformance: LATER := ^Test(LogsOff|Scrubb)
conformance conformance-sample: build tools
	@[ "$@" = conformance-sample ] || { $(call NEEDS,$(MARIADB)); } # for signers, said now
	@$(CLUSTER) up --with argo4,argo-nonroot$(PARTS)
	@[ -z "$(BUILDERS)" ] || $(CLUSTER) build $(BUILDERS) # before the suite, which would wait for them
	@$(MAKE) install REGISTRY= KUBECONFIG= # it looks for Argo's controllers anew
	@$(TOOLS); go test -tags e2e -count=1 ./e2e/suite $(CASES)
	@[ "$@" = conformance-sample ] || { $(MAKE) install-scrubber; $(TOOLS); go test -tags e2e -count=1 -timeout 9m ./e2e/suite -run '$(LATER)'; $(MAKE) signers; }

.PHONY: install-scrubber
install-scrubber: # stores are compared all the time, and logs are not sealed
	@$(MAKE) install REGISTRY= KUBECONFIG= HELM_ARGS="$(HELM_ARGS) --set sealLogs=false --values e2e/suite/testdata/scrubber.values.yaml"

# For paper and sentinel-paper: words in an ability's or a claim's name; the others are not run.
ABILITY ?=

.PHONY: paper sentinel-paper
paper: build tools ## What the paper on ARGO-SLSA validates, with a verdict for each of its five abilities. Installs Argoseal anew. ABILITY=monitor runs one.
	@$(CLUSTER) up --with argo4,argo-nonroot,registry
	@$(CLUSTER) build crane umoci # before the suite, which would wait for them
	@$(TOOLS); ARGOSEAL_E2E_ANEW=1 go run ./e2e/suites/paper -only "$(ABILITY)"
sentinel-paper: cluster-up images tools ## What the paper on K8s Pro Sentinel claims, with a verdict for each claim (an hour). ABILITY=KMS runs one.
	@$(CLUSTER) build scorecard-test
	@$(TOOLS); go run ./e2e/suites/sentinel -only "$(ABILITY)"

.PHONY: upgrade
upgrade: ## See what an upgrade from the chart of a commit (FROM=…) costs workflows that run. It raises a new cluster.
	@[ -n "$(FROM)" ] || { echo "FROM is not set: make upgrade FROM=<commit whose chart is installed first>" >&2; exit 2; }
	@$(MAKE) cluster-down cluster-up
	@$(TOOLS); go run ./e2e/upgrade -from "$(FROM)"

.PHONY: lint
lint: tools ## Linters, with the pinned version, and known vulnerabilities.
	@$(TOOLS); golangci-lint run --allow-serial-runners --build-tags=integration,e2e ./...
	@$(TOOLS); helm lint --quiet charts/argoseal --values charts/testdata/default.values.yaml
	@$(TOOLS); helm lint --quiet charts/argoseal-sentinel --values charts/testdata/sentinel/default.values.yaml
	@$(MAKE) vulnerabilities

.PHONY: vulnerabilities
vulnerabilities: ## Look for known vulnerabilities that our programs reach: fail for those of modules, tell those of the Go that is installed.
	@GOBIN="$(CURDIR)/bin" go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK); \
	reports="$$(go mod download -json golang.org/x/vulndb@$(VULNDB) | awk -F '"' '$$2 == "Dir" { print $$4 }')"; \
	found="$$(mktemp)"; trap 'rm -f "$$found"' EXIT; status=0; \
	bin/govulncheck -db "file://$$reports/data/osv" ./cmd/... >"$$found" || status=$$?; \
	of() { awk -v kind="$$1" '/^Vulnerability #/ { id = $$3 } $$0 ~ "^  " kind { print id }' "$$found"; }; \
	[ -z "$$(of 'Standard library')" ] || echo "$$(go version | cut -d ' ' -f 3) has known vulnerabilities: build images with a newer one:" $$(of 'Standard library') >&2; \
	case "$$status:$$(of 'Standard library' | head -n 1):$$(of Module:)" in 0:*:|3:GO-*:) ;; *) cat "$$found" >&2; exit 1;; esac

.PHONY: generated
generated: ## Fail if a generated file is not up to date (it is, afterwards).
	@before="$$(cat $(GENERATED) | sha256sum)"; $(MAKE) generate; \
	[ "$$before" = "$$(cat $(GENERATED) | sha256sum)" ] || { echo "generated files were out of date: commit what \`make generate\` wrote" >&2; exit 1; }

.PHONY: bench
bench: $(if $(filter admission p99 hash log logs size sealing backlog revocation scrub,$(ONLY)),,cluster-up build) ## Measure what Argoseal costs: one table, and bin/bench.json. ONLY=admission measures one thing; ONLY=logs, which is seals in a Rekor v1 and v2, needs what interop does.
	@go run ./e2e/bench $(if $(ONLY),-only $(ONLY))

# For soak: how long, how many ArtifactSeals and finished pods there are before, and how
# many pods finish a second.
SOAK    ?= 1h
SEALS   ?= 100000
BACKLOG ?= 1000
RATE    ?= 5

.PHONY: soak
soak: tools ## Keep two notaries at work for SOAK (1h), on a real API server, etcd and Rekor with simulated pods: 100,000 ArtifactSeals, a backlog, then a steady load. Fails if memory grows.
	@$(TOOLS); ARGOSEAL_SOAK=$(SOAK) ARGOSEAL_SOAK_SEALS=$(SEALS) ARGOSEAL_SOAK_BACKLOG=$(BACKLOG) ARGOSEAL_SOAK_RATE=$(RATE) \
		go test -tags integration -count=1 -timeout 0 -v -run '^TestSoak$$' ./pkg/notary

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
	@mv charts/argoseal/files/crds/argoseal.dev_secret*.yaml charts/argoseal-sentinel/files/crds/
	@go run ./docs/reference

##@ Install it

.PHONY: install
install: $(if $(REGISTRY),images-push,images) ## Install or upgrade the chart in the current cluster (with REGISTRY set: any cluster) and wait until it is ready.
	@$(THERE); helm upgrade --install $(RELEASE) charts/argoseal --namespace $(NAMESPACE) --create-namespace \
		--values bin/images/values.yaml $(HELM_ARGS); \
	for part in $$(kubectl --namespace $(NAMESPACE) get statefulsets,deployments --output name); do \
		kubectl --namespace $(NAMESPACE) rollout status $$part --timeout=180s || \
			{ kubectl --namespace $(NAMESPACE) get pods,events >&2; exit 1; }; \
	done

.PHONY: uninstall
uninstall: ## Remove the chart (with REGISTRY set: from the cluster that install takes then); its keys, records and trusted root stay.
	@$(THERE); helm uninstall $(RELEASE) --namespace $(NAMESPACE) --wait --timeout 2m

##@ Development cluster (Linux, root)

.PHONY: cluster-up
cluster-up: ## Raise a real cluster with Argo Workflows and an S3 store (first time: builds it, about 40 minutes on two cores).
	@$(CLUSTER) up

.PHONY: cluster-down
cluster-down: ## Remove the cluster and everything it left on this machine.
	@$(CLUSTER) down

.PHONY: kubeconfig
kubeconfig: ## Print the path of the cluster's kubeconfig.
	@$(CLUSTER) kubeconfig

.PHONY: tools
tools: ## Build the pinned tools and servers that tests use (cached).
	@$(CLUSTER) build etcd kubernetes argo versitygw rekor-tiles helm cosign local-kms controller-tools golangci-lint

.PHONY: tools-demo
tools-demo:
	@$(CLUSTER) build argo rekor-tiles helm cosign

##@ Help

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN { FS = ":.*##"; print "Usage: make <target>" } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-zA-Z0-9_-]+:.*##/ { printf "  %-19s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
