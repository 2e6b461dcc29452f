# What can be done with this tree. `make` alone lists it.
# The work is in scripts/, so that every step can also be run, read and timed by itself.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 10s

# The version comes from the line above. Go's own stamping would ask git about every build, and fails where git does not
# trust the folder's owner.
export GOFLAGS += -buildvcs=false

.DEFAULT_GOAL := help
.PHONY: help build run demo test check test-crash test-chaos test-hostile test-soak test-upgrade bench fuzz docs sdk web site release install-test clean bench-postgres capacity

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-21s %s\n", $$1, $$2 }'

build: ## build the server: one static binary, bin/carom
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/carom ./cmd/carom

run: build ## start a server with an example app and a receiver, and say what to try
	@scripts/run.sh

demo: build ## both ends on this machine: watch an ad in a Mini App, see the coins arrive
	@scripts/demo.sh

test: ## install what the tests need, run every test, fuzz each target for 3 s
	@scripts/test.sh

check: ## everything that is judged without running the code: format, vet, linters, tidiness, other systems
	@scripts/check.sh

test-crash: build ## kill the server 50 times under load, and a node and its database; nothing acknowledged may be missing
	go run ./bench/crash -kills 50 -rate 2000
	go run ./bench/crash -postgres -kills 9 -rate 500
	go run ./bench/powercut

test-chaos: build ## five minutes of faults on three nodes and their database under load; bench/out/chaos.json
	go run ./bench/chaos

test-hostile: build ## abuse the server in every way beside honest senders, and say what these notice; bench/out/hostile.json
	go run ./bench/hostile

test-soak: build ## 20 minutes at half the saturating rate with outages, a full disk and restarts; bench/out/soak.json
	go run ./bench/soak -minutes 20

test-upgrade: build ## upgrade the server ten times under load, with senders that try once, and three nodes in turn; bench/out/upgrade.json
	go run ./bench/upgrade
	go run ./bench/chaos -only "all nodes restarted, one after another" -duration 2m -dir bench/out/upgrade-nodes -out bench/out/upgrade-nodes.json

bench: build ## measure against a bare handler and a bare forwarder; bench/out/latest.json
	go run ./bench

bench-postgres: build ## the same on a real PostgreSQL, with one node and with two; bench/out/postgres.json
	go run ./bench -postgres

capacity: ## keep the figures of both in bench/capacity/testdata, and write what many events a second take into docs/scale.md
	go run ./bench/capacity -keep bench/capacity/testdata -markdown docs/scale.md

fuzz: ## fuzz every target for FUZZTIME each (10s)
	@scripts/fuzz.sh $(FUZZTIME)

sdk: ## build the front-end helper anew, and its page in docs
	npm --prefix sdk ci --no-audit --no-fund --ignore-scripts && npm --prefix sdk run build

web: ## build the dashboard anew, with its types of /v1
	@bash -c '. scripts/setup.sh && need_dashboard && cd web/dashboard && npm run --silent generate && npm run --silent build'

docs: ## write the generated documents anew
	go test ./internal/config ./internal/network ./internal/probe ./internal/api ./cmd/carom -update
	scripts/licences.sh

release: ## make dist/: archives for every system, Debian packages, checksums
	scripts/release.sh

install-test: ## install the package on a bare Debian in a container, up to a delivered postback; needs root
	scripts/install-test.sh

site: ## build the documentation as a site, in site/dist; every link of it is checked
	@bash -c '. scripts/setup.sh && need_site && npm --prefix site run --silent build'

clean: ## remove what the other targets made
	rm -rf bin bench/out dist run site/dist
