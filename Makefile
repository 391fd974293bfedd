# evio. `make` lists the targets. Most need root: they make namespaces and mounts.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
DIST := dist
# What is built for: the architecture of this machine, or another one, amd64 or arm64.
HOSTARCH := $(shell $(GO) env GOHOSTARCH)
ARCH ?= $(HOSTARCH)
# Another architecture has a folder of its own.
OUT := $(DIST)$(if $(filter-out $(HOSTARCH),$(ARCH)),/$(ARCH))
PLUGIN := $(OUT)/plugin
# The name in `docker plugin ls`. Not evio: that one is served beside it (README.md).
NAME ?= evionet
# Where `make install` puts the binary, as the command for operators.
BINDIR ?= /usr/local/bin
# Where `make push` publishes, host:port/name, and under which tag. A plugin is of one
# architecture, and Docker does not choose: another one has a tag of its own.
REGISTRY ?=
TAG ?= $(if $(filter-out $(HOSTARCH),$(ARCH)),$(ARCH),latest)
# What `make install` sets, such as SET="EVIO_LOG_LEVEL=debug".
SET ?=
FUZZTIME ?= 30s
# What make bench measures, and how often; all, where they say nothing.
ROWS ?=
SYSTEMS ?=
RUNS ?=
# What make repeat runs, and how often.
LANE ?=
N ?= 10
# How long make soak breaks parts, and make soak-speed sends traffic.
DURATION ?= 20m
# Which of the end-to-end tests are about faults and enemies.
FAULTS := ^Test(Boot|Hostile|Members|Recovery|Rekey|Roaming|Sessions|Upgrade)$$
# Which of them are about many containers at once, and how long a user waits.
CHURN := ^Test(Churn|Joins|Speed)$$
LOOP := ^TestFaultLoop$$
# The one whose engines are all 20.10; the others have current ones.
OLD := ^TestOldEngine$$
# Which of them are about what applications and operators see of a whole product.
APPS := ^Test(Applications|HostEdges|NothingSilent|Registry)$$
# Which of them are about who may say what: containers, members and neighbours.
GUARD := ^Test(Guard|HostileMember|HostileNeighbour)$$
# Which of them are about servers, users of the host, secrets and clocks.
TRUST := ^Test(Clocks|ForgedEnvelopes|HostileServer|LocalUser|SecretRotation)$$
# The one that lasts as long as it is told, for memory and drops under traffic.
SOAK := ^TestSoakSpeed$$
# Packages with tests in bubbles (testing/synctest). Under the race detector these run on
# one CPU: Go 1.26 gives the timers of a bubble one race context, and crashes when two CPUs
# run timers of that bubble at once (golang/go#78156 looks like it).
BUBBLES = $$(grep -rl --include='*_test.go' '"testing/synctest"' . | xargs -n 1 dirname | sort -u)
# The component tests by name; none of them has a bubble.
COMPONENT_FILES = $$(grep -rlE --include='*_test.go' '^//go:build component' .)
# A Debian root with openvswitch-switch, from which the plugin's is made, such as
# SOURCE=/; empty: the unpacked tree.
SOURCE ?=

GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(CURDIR)/$(DIST)/tools/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
DEADCODE_VERSION := v0.52.0
DEADCODE := $(CURDIR)/$(DIST)/tools/deadcode-$(DEADCODE_VERSION)/deadcode

# The same commit gives the same bytes.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
BENCH := $(DIST)/bench
BENCHBUILD := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w'
BUILD := CGO_ENABLED=0 GOARCH=$(ARCH) $(GO) build -trimpath -buildvcs=auto -ldflags '-s -w -buildid='
INROOT := $(CURDIR)/integration/inroot.sh

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

## Building

.PHONY: build
build: ## the evio binary, static: dist/evio, or with ARCH=arm64 dist/arm64/evio
	$(BUILD) -o $(OUT)/evio ./plugin

.PHONY: plugin
plugin: build $(if $(SOURCE),,switch-tree) ## the managed plugin: dist/plugin, for docker plugin create
	@mkdir -p $(PLUGIN)
	@source='$(SOURCE)'; \
	if [ -z "$$source" ] && [ $(ARCH) != $(HOSTARCH) ]; then source=$$(rootfs/foreign.sh $(ARCH)); fi; \
	rootfs/build.sh --binary $(OUT)/evio --out $(PLUGIN)/rootfs $${source:+--source "$$source"}
	@install -m 0644 config.json $(PLUGIN)/config.json

.PHONY: push
push: $(if $(REGISTRY),plugin) ## the plugin to a registry: REGISTRY=host:port/name [TAG=latest], for docker plugin install
	@[ -n '$(REGISTRY)' ] || { echo "say where the plugin goes: make push REGISTRY=host:port/name [TAG=latest]" >&2; exit 2; }
	@rootfs/packaging/push.sh $(PLUGIN) '$(REGISTRY)' '$(TAG)'

.PHONY: bundle
bundle: plugin ## the plugin, the command and an installer in one file: dist/evio-VERSION-linux-ARCH.tar.gz
	@rootfs/packaging/bundle.sh $(PLUGIN) $(DIST)

.PHONY: bundle-check
bundle-check: plugin ## makes the bundle twice, runs what is in it; ARCH=arm64: in an emulator
	@rootfs/packaging/check.sh $(PLUGIN)

.PHONY: plugin-check
plugin-check: plugin ## runs what is in the finished plugin, in namespaces
	rootfs/check.sh $(PLUGIN)

.PHONY: install
install: plugin ## into the engine of this machine, replacing an older one; evio into BINDIR
	@rootfs/packaging/install.sh --name '$(NAME)' --bindir '$(BINDIR)' --plugin $(PLUGIN) $(SET)

.PHONY: uninstall
uninstall: ## out of the engine; networks and identity stay in /var/lib/evio
	docker plugin disable -f $(NAME) || :
	docker plugin rm -f $(NAME)
	rm -f $(BINDIR)/evio

## Trying out and measuring

.PHONY: demo
demo: deps tree plugin ## three sites behind three NATs, shown step by step; KEEP=1 leaves them running
	@$(GO) build -o $(DIST)/demo ./integration/demo
	@exec $(DIST)/demo

.PHONY: footprint
footprint: deps tree plugin ## size of the plugin, resident memory of evio with one network
	@$(GO) build -o $(DIST)/footprint ./integration/footprint
	@exec $(DIST)/footprint

# ROWS, SYSTEMS and RUNS choose (dist/bench/bench run -h); with any of them, the bars are not checked.
.PHONY: bench
bench: deps main-tree bench-programs ## speed beside other tunnels, against the bars, told in dist/bench.json; a part: ROWS=tcp1 SYSTEMS=evio-tap,wireguard-go RUNS=3
	@$(BENCH)/bench run -out $(DIST)/bench.json $(if $(ROWS),-rows '$(ROWS)') $(if $(SYSTEMS),-systems '$(SYSTEMS)') $(if $(RUNS),-runs '$(RUNS)')
	@$(if $(ROWS)$(SYSTEMS)$(RUNS),:,$(BENCH)/bench check $(DIST)/bench.json)

.PHONY: bench-guard
bench-guard: deps main-tree bench-programs ## the same in 4 min: three rounds of what shows first that evio has become slower
	@$(BENCH)/bench run -guard -out $(DIST)/bench-guard.json
	@$(BENCH)/bench check -guard $(DIST)/bench-guard.json

# The other tunnels are at versions of their own, in a module that the product's does not know.
.PHONY: bench-programs
bench-programs: build
	@mkdir -p $(BENCH)
	@cp $(OUT)/evio $(BENCH)/evio
	$(BENCHBUILD) -o $(BENCH)/bench ./integration/bench
	$(BENCHBUILD) -o $(BENCH)/probe ./integration/probe
	cd integration/bench/peers && $(BENCHBUILD) -o $(abspath $(BENCH))/ tool

## Testing

.PHONY: test
test: deps tree plugin ## all tests: unit under the race detector, component, end to end; none skipped
	@while read -r name minutes targets <&3; do \
	  .ci/lane $$name $$minutes $(MAKE) $$targets 3<&-; \
	done 3< <(grep -v '^#' .ci/lanes)

.PHONY: repeat
repeat: deps tree plugin ## one lane of make test N times (10), such as LANE=component, told in dist/repeat.json
	@.ci/repeat '$(LANE)' '$(N)'

.PHONY: unit
unit: ## unit tests; no root needed
	@.ci/gotest ./...

.PHONY: race
race: ## unit tests, under the race detector but for the simulations, which have no goroutines
	@.ci/gotest -race -cpu 1 $(BUBBLES)
	@.ci/gotest -race $$($(GO) list ./... | grep -vxF -f <($(GO) list $(BUBBLES)) | grep -vE '/overlay/(symphony|flood)$$')
	@.ci/gotest ./overlay/symphony ./overlay/flood
	@.ci/gotest -run Alloc $$(grep -rl --include='*_test.go' '^//go:build !race' . | xargs -n 1 dirname | sort -u)

.PHONY: component
component: main-tree ## tests with real Open vSwitch, TAPs and servers, in namespaces
	@.ci/gotest -race -tags component -p 1 -exec $(INROOT) \
	  -run "^($$(grep -hoP '^func \KTest(?!Main\()\w+' $(COMPONENT_FILES) | paste -sd '|'))\$$" \
	  $$(dirname $(COMPONENT_FILES) | sort -u)

.PHONY: e2e
e2e: tree plugin ## tests with several real engines behind NATs
	@.ci/gotest -tags e2e -p 1 -timeout 21m -skip '$(FAULTS)|$(CHURN)|$(LOOP)|$(OLD)|$(APPS)|$(GUARD)|$(TRUST)|$(SOAK)' $$($(GO) list -tags e2e ./integration/... | grep -vE '/(churn|faults|hostile)$$')

.PHONY: old-engine
old-engine: tree plugin ## one of each kind of test on Docker 20.10 with docker-compose 1.29
	@.ci/gotest -tags e2e -timeout 15m -run '$(OLD)' ./integration/docker

.PHONY: apps
apps: tree plugin ## what applications send, what may be lost, edges of hosts, a registry
	@.ci/gotest -tags e2e -run '$(APPS)' ./integration/applications ./integration/docker

.PHONY: applications-all
applications-all: tree plugin ## what applications send, with each offload off and with all
	@EVIO_TEST_OFFLOADS='tap udp_send udp_receive merge tap,udp_send,udp_receive,merge' \
	  .ci/gotest -tags e2e -timeout 30m -run '^TestApplications$$' ./integration/applications

.PHONY: churn
churn: plugin ## hundreds of containers at one engine, and how long they take
	@.ci/gotest -tags e2e -timeout 15m -run '$(CHURN)' ./integration/churn

.PHONY: test-faults
test-faults: plugin ## parts and ways that break, enemies, removed members, many sessions
	@.ci/gotest -tags e2e -timeout 14m -run '$(FAULTS)' ./integration/faults ./integration/hostile ./integration/nat

.PHONY: guard
guard: tree plugin ## what containers may claim and send, members and neighbours that lie
	@.ci/gotest -tags e2e -timeout 15m -run '$(GUARD)' ./integration/hostile

.PHONY: trust
trust: plugin ## servers, users of the host, secrets and clocks that are not on our side
	@.ci/gotest -tags e2e -timeout 10m -run '$(TRUST)' ./integration/hostile

.PHONY: fault-loop
fault-loop: plugin ## breaks parts for 90 s, in an order that EVIO_SEED (1) gives
	@EVIO_SEED=$${EVIO_SEED:-1} EVIO_DURATION=$${EVIO_DURATION:-90s} .ci/gotest -tags e2e -timeout 15m -run '$(LOOP)' ./integration/faults

.PHONY: soak
soak: plugin ## the same for DURATION (20m) in another order each time, told round by round
	@EVIO_DURATION=$(DURATION) $(GO) test -count=1 -v -tags e2e -timeout 0 -run '$(LOOP)' ./integration/faults

.PHONY: soak-speed
soak-speed: plugin ## all kinds of traffic for DURATION (20m): no process grows, each record is decrypted
	@EVIO_DURATION=$(DURATION) $(GO) test -count=1 -v -tags e2e -timeout 0 -run '$(SOAK)' ./integration/soak

.PHONY: soak-speed-short
soak-speed-short: plugin ## the same for 2 min, without a look at the heap
	@EVIO_DURATION=2m .ci/gotest -tags e2e -run '$(SOAK)' ./integration/soak

.PHONY: bench-control
bench-control: ## what a record costs in a large directory, and whether a loud member delays another
	@$(GO) test -count=1 -v -run '^Test(RecordCostsTheSameInALargeDirectory|DifferencesCostWhatChanges|MoveCostsWhatMoves)$$' \
	  -bench '^BenchmarkControlBesideALoudMember$$' -benchtime 1x ./overlay ./driver/network ./datapath/ovs

.PHONY: fuzz
fuzz: ## every fuzz target, FUZZTIME each (30s), such as FUZZTIME=10m
	@.ci/fuzz $(FUZZTIME)

.PHONY: lint
lint: tools ## gofmt, go vet, go mod tidy of the bench's peers, golangci-lint, deadcode, shellcheck, no test that can skip, no pipe that fails now and then
	@left=$$(git ls-files -co --exclude-standard -- '*.go' | xargs -r gofmt -l); [ -z "$$left" ] || { echo "gofmt would change: $$left"; exit 1; }
	$(GO) vet -tags component,e2e ./...
	$(GO) -C integration/bench/peers mod tidy -diff
	$(GOLANGCI) run --allow-parallel-runners ./...
	@.ci/deadcode $(DEADCODE)
	shellcheck --severity=warning $$(grep -lE '^#!' .ci/*) rootfs/*.sh rootfs/packaging/*.sh integration/*.sh
	@.ci/pipes
	@! git ls-files -co --exclude-standard -- '*_test.go' | xargs -r grep -nE '\.Skip(Now|f)?\(' || { echo "a test must not be able to skip: a missing tool is a failure"; exit 1; }

## What the others need

.PHONY: deps
deps: ## installs the packages that are missing
	@.ci/deps

.PHONY: tree
tree: ## unpacks Debian with engines, Open vSwitch and servers below /var/cache/evio
	@integration/tree.sh

# Of what the plugin is made.
.PHONY: switch-tree
switch-tree: deps
	@integration/tree.sh switch

# What component tests need; engines of 20.10 are in the other one.
.PHONY: main-tree
main-tree:
	@integration/tree.sh trixie

.PHONY: tools
tools: $(GOLANGCI) $(DEADCODE) ## builds the pinned tools into dist/tools

$(GOLANGCI):
	GOBIN=$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

$(DEADCODE):
	GOBIN=$(@D) $(GO) install golang.org/x/tools/cmd/deadcode@$(DEADCODE_VERSION)

.PHONY: clean
clean: ## removes what was built, but for dist/tools
	rm -rf $(DIST)/evio $(DIST)/demo $(DIST)/demo-log $(DIST)/footprint $(BENCH) $(DIST)/bench.json $(DIST)/bench-guard.json $(DIST)/plugin $(DIST)/amd64 $(DIST)/arm64 $(DIST)/ci $(DIST)/repeat $(DIST)/repeat.json $(DIST)/evio-*.tar.gz*
