# Needs Go 1.26 and make, on Linux; no C compiler.

GO          ?= go
VERSION     ?= $(shell git describe --always --dirty 2>/dev/null || echo dev)
# CGO_ENABLED=1 TESTFLAGS=-race turns the race detector on, which needs a C compiler.
CGO_ENABLED ?= 0
TESTFLAGS   ?=
PACKAGES    ?= ./...
# Where binaries go.
BIN         ?= bin
DEMO_SECONDS ?=
SIM_STEPS   ?= 1000000
SIM_SEED    ?= 1

# grpcnotrace keeps html/template out of the small binary.
BUILD := $(GO) build -buildvcs=false -tags grpcnotrace -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

export CGO_ENABLED DEMO_SECONDS

.PHONY: help build demo test storm sim bench-init bench-logs mutate clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the two static binaries: bin/sidekick and bin/sidekick-hub
	CGO_ENABLED=0 $(BUILD) -o $(BIN)/sidekick ./cmd/sidekick
	CGO_ENABLED=0 $(BUILD) -o $(BIN)/sidekick-hub ./cmd/sidekick-hub

test: ## all tests that this machine can run; what is missing is skipped with its reason
	$(GO) test -tags grpcnotrace $(TESTFLAGS) $(PACKAGES)

demo: ## an app is killed and comes back, and so does its key in etcd; until Ctrl-C, or for DEMO_SECONDS=N
	@echo "building…"
	@CGO_ENABLED=0 $(BUILD) -o $(BIN)/sidekick ./cmd/sidekick
	@CGO_ENABLED=0 $(BUILD) -o $(BIN)/sidekick-hub ./cmd/sidekick-hub
	@CGO_ENABLED=0 $(BUILD) -o $(BIN)/quickstart-app ./examples/quickstart/app
	@CGO_ENABLED=0 $(BUILD) -o $(BIN)/quickstart-demo ./examples/quickstart/demo
	@$(BIN)/quickstart-demo

sim: ## a million steps of simulated supervision; SIM_SEED=N begins elsewhere, SIM_STEPS=N is another length
	SIM_STEPS=$(SIM_STEPS) SIM_SEED=$(SIM_SEED) $(GO) test -tags grpcnotrace -count=1 -timeout 60m -v -run 'TestSimulation$$' ./supervisor/

storm: ## 20,000 orphans, 1,000 programs, a fork bomb, idle: alone, for they starve or measure what runs beside them
	$(GO) test -tags "grpcnotrace storm" -count=1 -v -parallel 1 $(TESTFLAGS) -run 'Storm|Thousand|ForkBomb|TermRight|TermAfter|Idle|CrashLoop' ./e2e

bench-init: ## sidekick beside supervisord, s6, runit, tini and dumb-init: memory, start, restart, shutdown; as root, some minutes
	@CGO_ENABLED=0 $(BUILD) -o $(BIN)/bench/ ./cmd/sidekick ./cmd/sidekick-hub ./e2e/actor ./bench/init
	@$(BIN)/bench/init -bin $(BIN)/bench

bench-logs: ## the rate and cost of logs, beside supervisord, s6-log and svlogd; some minutes
	@CGO_ENABLED=0 $(BUILD) -o $(BIN)/bench/ ./cmd/sidekick
	@$(GO) run bench/logs.go -sidekick $(BIN)/bench/sidekick

mutate: ## breaks one line at a time; each break has to turn the tests red
	$(GO) run .ci/mutate.go

clean: ## removes what was built
	rm -rf $(BIN)
