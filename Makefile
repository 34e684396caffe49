# Two commands for a newcomer: `make demo` and `make test`. Nothing is installed outside .venv.

# The first Python that really runs (a shim may not) and is recent enough.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
  if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)
endif
VENV := .venv
BIN := $(VENV)/bin
RUN_READY := $(VENV)/.ready-run
DEV_READY := $(VENV)/.ready-dev
NODE_CLIENTS := tests/e2e/clients/node
CLIENT_VENVS := $(VENV)-clients $(VENV)-clients-litellm $(VENV)-clients-strands
CLIENTS_READY := $(addsuffix /.ready,$(CLIENT_VENVS)) $(NODE_CLIENTS)/node_modules/.ready
CORE_TESTS := $(wildcard $(addprefix tests/unit/,wire catalog claude dialects providers routing accounts)) tests/properties
CLIENT_TESTS := tests/e2e/clients
PYTEST_ARGS ?=
SOAK_SECONDS ?= 300
KILLS ?= 200
CONCURRENT ?= 1000
BENCH_ARGS ?=
SCALE_ARGS ?=
LEASES_ARGS ?=
# In front of the tests that start processes; CI puts .ci/alone here.
RUN ?=
# Tests start hundreds of processes, and each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

# $(call run_all,TARGETS): makes every target, also after one has failed, and prints which failed.
define run_all
	+@failed=; for target in $(1); do \
	  echo "== make $$target"; $(MAKE) --no-print-directory $$target || failed="$$failed $$target"; \
	done; \
	if [ -n "$$failed" ]; then echo "== FAILED:$$failed"; exit 1; fi; echo "== passed: $(1)"
endef

.PHONY: help demo test lint types contracts coverage-core test-rest test-clients audit bench bench-check bench-compare bench-peers scale-bench overload soak budget-attack hops kill-attack node-attack test-lowest clients lock docs docs-site man recording screenshots wheel pin-image deb package-test helm clean

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: $(RUN_READY) ## Start everything offline, show it working, keep serving
	@$(BIN)/modelmux demo $(DEMO_ARGS)

test: ## Everything that has to pass, except test-clients
	$(call run_all,lint types contracts coverage-core test-rest)

lint: $(DEV_READY) ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/check_words.py

types: $(DEV_READY) ## mypy --strict
	$(BIN)/mypy

contracts: $(DEV_READY) ## Who may import whom
	$(BIN)/lint-imports
	$(BIN)/python tools/check_imports.py

coverage-core: $(DEV_READY) ## Tests of the pure core: 100 % line and branch coverage
	$(BIN)/pytest -q -n auto $(CORE_TESTS) $(PYTEST_ARGS) --cov-branch --cov-fail-under=100 \
	  --cov=modelmux.wire --cov=modelmux.catalog --cov=modelmux.claude --cov=modelmux.dialects \
	  --cov=modelmux.providers --cov=modelmux.routing --cov=modelmux.accounts

test-rest: $(DEV_READY) ## All other tests, except test-clients
	$(RUN) $(BIN)/pytest -q -n auto --dist worksteal $(addprefix --ignore=,$(CORE_TESTS) $(CLIENT_TESTS)) $(PYTEST_ARGS)

test-clients: $(DEV_READY) $(CLIENTS_READY) ## Other people's clients against the gateway; installs them
	MODELMUX_REQUIRE_CLIENTS=1 $(RUN) $(BIN)/pytest -q -n auto --dist loadfile $(CLIENT_TESTS) $(PYTEST_ARGS)

audit: $(VENV)-audit/.ready ## Known vulnerabilities in the locked dependencies
	@$(VENV)-audit/bin/python .ci/audit.py $(VENV)-audit/bin/pip-audit requirements/image.lock

bench: $(DEV_READY) ## Cost and latency in comparison with nginx, as a table (BENCH_ARGS=--quick or --full)
	$(BIN)/python -m bench run $(BENCH_ARGS)

bench-check: $(DEV_READY) ## Fail if a ratio to nginx is worse than the stored one
	$(BIN)/python -m bench check

bench-compare: $(DEV_READY) ## Fail if this tree is slower than another revision (REV=main BENCH_ARGS='--rounds 7')
	@test -n "$(REV)" || { echo "error: no revision to compare with"; echo "hint: make bench-compare REV=main"; exit 1; }
	$(BIN)/python -m bench compare $(REV) $(BENCH_ARGS)

bench-peers: ## Install LiteLLM and Portkey for `make bench`
	$(PYTHON) -m venv .venv-bench-litellm
	.venv-bench-litellm/bin/pip install -q 'litellm[proxy]'
	@# Later ones break its streams: https://github.com/Portkey-AI/gateway/issues/1389
	@echo '{"private": true, "dependencies": {"@portkey-ai/gateway": "^1.15.2"}, "overrides":' \
	  '{"@hono/node-server": "1.13.8", "@hono/node-ws": "1.2.0"}}' > bench/package.json
	npm install --silent --prefix bench

scale-bench: $(DEV_READY) ## One to four nodes beside one PostgreSQL, and a simulation of many (SCALE_ARGS, LEASES_ARGS)
	$(BIN)/python -m bench scale $(SCALE_ARGS)
	$(BIN)/python -m bench leases $(LEASES_ARGS)

overload: $(DEV_READY) ## What clients get at up to four times the capacity, beside the queue of before (two minutes)
	$(BIN)/python -m bench.overload

soak: $(DEV_READY) ## Five minutes of 500 streams with faults (SOAK_SECONDS=300)
	$(BIN)/python -m bench.soak --seconds $(SOAK_SECONDS)

hops: $(DEV_READY) ## What it costs in tokens of the prompt cache that requests of a conversation reach different nodes
	$(BIN)/python -m bench.hops $(HOPS_ARGS)

budget-attack: $(DEV_READY) ## 10,000 requests, 1,000 at once, against a budget of $$1, with one worker and with four (minutes)
	$(BIN)/python -m bench.budget_attack $(ATTACK_ARGS)

kill-attack: $(DEV_READY) ## Kill a gateway at 200 random moments and compare its ledger with the bill (KILLS=200)
	MODELMUX_TEST_KILLS=$(KILLS) $(BIN)/pytest -q tests/e2e/test_killed_processes.py -k random

node-attack: $(DEV_READY) ## Three nodes, killed and cut off meanwhile: 10,000 requests (CONCURRENT=1000) against $$1, and 30 s without database (root)
	MODELMUX_TEST_ATTACK=10000 MODELMUX_TEST_ATTACK_AT_ONCE=$(CONCURRENT) MODELMUX_OUTAGE_SECONDS=30 $(BIN)/pytest -q -rsP tests/hosts -k "attack or stands_still"

test-lowest: ## The tests with the lowest versions of every dependency
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/pip install -q -r requirements/lowest.txt -c requirements/lowest.txt
	$(VENV)-lowest/bin/pip install -q -r requirements/lowest-test.txt
	$(VENV)-lowest/bin/pip install -q --no-deps -e .
	$(RUN) $(VENV)-lowest/bin/pytest -q -n auto -W default $(PYTEST_ARGS)

clients: $(CLIENTS_READY) ## Install the clients of test-clients (about 1.5 GB)

lock: $(DEV_READY) ## Renew the lock files
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header -o requirements/run.lock
	$(BIN)/uv pip compile -q pyproject.toml --extra postgres --extra redis --extra otel -c requirements/run.lock --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements/image.lock
	$(BIN)/uv pip compile -q pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header -o requirements/dev.lock
	$(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 --resolution lowest-direct \
	  --no-emit-index-url --no-emit-find-links --no-header -o requirements/lowest.txt
	$(BIN)/uv pip compile -q pyproject.toml --group test --universal --python-version 3.11 -c requirements/lowest.txt \
	  --no-emit-index-url --no-emit-find-links --no-header -o requirements/lowest-test.txt
	for name in clients clients-litellm clients-strands audit site; do $(BIN)/uv pip compile -q requirements/$$name.in --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  -o requirements/$$name.txt || exit 1; done

docs: $(DEV_READY) ## Renew the generated pages
	$(BIN)/python -m tools.docs.compatibility > docs/compatibility.md
	$(BIN)/python -m tools.docs.configuration > docs/configuration.md
	$(BIN)/python -m tools.docs.metrics > docs/metrics.md
	$(BIN)/python -m tools.dashboard > packaging/grafana/modelmux.json
	$(BIN)/python -m tools.docs.layers
	$(BIN)/python -m tools.docs.clients
	$(BIN)/python -m tools.docs.readme
	$(BIN)/python -m tools.docs.llms

docs-site: $(VENV)-site/.ready ## Build the site of the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(VENV)-site/bin/mkdocs build --quiet
	@echo site/index.html

man: $(RUN_READY) ## Write the manual page to dist/modelmux.1
	@mkdir -p dist
	$(BIN)/python -m tools.docs.man > dist/modelmux.1

recording: $(DEV_READY) ## Record the terminal session of the README; needs `make clients` and port 3000
	$(BIN)/python -m tools.docs.recording

screenshots: $(DEV_READY) ## Take the pictures of the dashboard in docs/images; needs Chromium
	$(BIN)/python -m tools.docs.screenshots

wheel: $(DEV_READY) ## Build the wheel and the source distribution into dist/
	$(BIN)/pip install -q build
	$(BIN)/python -m build

pin-image: $(DEV_READY) ## Write the digest of the container's base image, for a release (asks Docker Hub)
	$(BIN)/python -m tools.pin_image

deb: ## Build the Debian package into dist/, with the distribution's own Python
	@/usr/bin/python3 packaging/deb/build.py

package-test: $(DEV_READY) ## Install and use the Debian package under a real systemd (root, debootstrap, systemd-nspawn)
	MODELMUX_PACKAGE_TESTS=1 $(BIN)/pytest -q -rs tests/packaging/test_deb.py

helm: $(VENV)-helm/bin/helm ## Build Helm, which the tests of the chart need (Go; minutes, then from Go's cache)

# A version from Go's proxy, checked by Go's checksum database.
$(VENV)-helm/bin/helm:
	@command -v go >/dev/null || { echo "error: Go was not found"; \
	  echo "hint: install Go 1.26 or later, or Helm 3 by other means: the tests take one in PATH"; exit 1; }
	GOBIN=$(CURDIR)/$(VENV)-helm/bin go install helm.sh/helm/v3/cmd/helm@v3.22.0

clean: ## Remove what the commands above made
	rm -rf $(VENV) $(VENV)-audit $(VENV)-lowest $(VENV)-site $(VENV)-helm $(CLIENT_VENVS) $(NODE_CLIENTS)/node_modules
	rm -rf build dist site .coverage* .*_cache .hypothesis

$(VENV)/bin/python:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: no Python 3.11 or later was found"; \
	  echo "hint: install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "error: the virtual environment could not be made"; \
	  echo "hint: on Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }

$(RUN_READY): $(VENV)/bin/python requirements/run.lock pyproject.toml
	@echo "Setting up $(VENV), once; this downloads packages and may take a minute ..."
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/run.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(DEV_READY): $(VENV)/bin/python requirements/dev.lock pyproject.toml
	@echo "Setting up $(VENV) for development ..."
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@ $(RUN_READY)

# Environments of their own: what the clients pin disagrees with ours and with each other. The first brings Node, too.
$(VENV)-%/.ready: requirements/%.txt
	@echo "Setting up $(VENV)-$* ..."
	@$(PYTHON) -m venv $(VENV)-$*
	@$(VENV)-$*/bin/pip install -q --disable-pip-version-check --no-deps --no-compile --require-hashes -r $<
	@touch $@

$(NODE_CLIENTS)/node_modules/.ready: $(NODE_CLIENTS)/package.json $(NODE_CLIENTS)/package-lock.json | $(VENV)-clients/.ready
	@echo "Setting up $(NODE_CLIENTS) ..."
	@cd $(NODE_CLIENTS) && PATH="$(CURDIR)/$(VENV)-clients/bin:$$PATH" npm ci --prefer-offline --loglevel error
	@touch $@
