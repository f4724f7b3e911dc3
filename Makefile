# What one does in this checkout. Needs GNU make and Python 3.11 or newer; everything else goes into .venv/ and .uv/.
#
# A uv on the PATH is used when it is new enough, else one is installed into .uv/. The environment follows uv.lock.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
ARGS ?=

export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
# A company's proxy signs with a CA that only the system knows; `make UV_SYSTEM_CERTS=0` trusts uv's own list instead.
export UV_SYSTEM_CERTS ?= 1
# What would lead uv, pip or Python to another environment than ours.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONPATH PYTHONHOME PYTHONSAFEPATH
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV
unexport UV_LOCKED UV_NO_SYNC UV_NO_DEV UV_SYSTEM_PYTHON UV_WORKING_DIRECTORY UV_PROJECT

UV_BOUND := uv>=0.9,<1
# The version that deploy/kubernetes is checked against: the newest that kubernetes-validate knows.
KUBERNETES := 1.37.0
SYNCED := .venv/.synced
PYTHON := .venv/bin/python
NODE_PACKAGES := tests/conformance/node_modules/.installed

.PHONY: help demo test test-services test-matrix conformance check bench bench-large snapshots docs
.NOTPARALLEL:

help: ## Say what there is (this list).
	@echo 'make <what> [ARGS="..."]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1	\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

demo: $(SYNCED) ## Start a real Airflow here and play an on-call story on it. ARGS=--once ends after it.
	@$(with_uv) $(PYTHON) -m airflow_mcp demo $(ARGS)

test: $(SYNCED) ## Run the tests; ARGS goes to pytest.
	@$(with_uv) $(PYTHON) -m pytest $(ARGS)

test-services: $(SYNCED) ## Test replicas behind nginx with Redis; installs both from Debian's packages where it may.
	@PATH="$$PATH:/usr/sbin"; \
	missing=; for one in nginx redis-server; do command -v $$one >/dev/null || missing="$$missing $$one"; done; \
	if [ -n "$$missing" ] && [ "`id -u`" -eq 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
		apt-get install -qq -y --no-install-recommends $$missing >/dev/null && missing=; \
	fi; \
	if [ -n "$$missing" ]; then echo "make: test-services needs$$missing on the PATH (Debian: apt install$$missing)." >&2; exit 1; fi; \
	PATH="$$PATH" $(PYTHON) -m pytest tests/services $(ARGS)

test-matrix: $(SYNCED) ## Run the core of the live tests on five more versions of Airflow, one after the other; ARGS names some.
	@$(with_uv) $(PYTHON) -m tests.matrix $(ARGS)

conformance: $(SYNCED) $(NODE_PACKAGES) ## MCP's own suite, the Inspector and TypeScript's clients against the server.
	@$(with_uv) $(PYTHON) -m pytest tests/conformance $(ARGS)

check: $(SYNCED) ## Lint, types, manifests, generated files, Dockerfile, deploy/.
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m pyright
	$(PYTHON) -m pytest tests/architecture
	@$(with_uv) $(PYTHON) -m tests.generated.docs --check
	$(PYTHON) -m tests.generated.snapshots --check
	.venv/bin/hadolint Dockerfile
	.venv/bin/kubernetes-validate --strict --quiet --kubernetes-version $(KUBERNETES) deploy/kubernetes/[!k]*.yaml
	.venv/bin/check-jsonschema --quiet --builtin-schema vendor.compose-spec deploy/compose.yaml

bench: $(SYNCED) ## Measure start-up, a call's cost, load, sizes, on-call answers. ARGS="--memory 100000" takes longer.
	@$(PYTHON) -m tests.bench.bench
	@$(PYTHON) -m tests.bench.load $(ARGS)
	@$(with_uv) $(PYTHON) -m tests.stories.table

bench-large: $(SYNCED) ## Build an Airflow of 5,000 DAGs and measure reports on it: minutes. ARGS="--scale 0.02" is quick.
	@$(with_uv) $(PYTHON) -m tests.bench.large $(ARGS)

snapshots: $(SYNCED) ## Rewrite tests/generated/snapshots/ (what a model sees). Review the diff.
	@$(PYTHON) -m tests.generated.snapshots --write

docs: $(SYNCED) ## Rewrite what the catalog says in README.md and docs/.
	@$(with_uv) $(PYTHON) -m tests.generated.docs --write

# -- the environment --

# Sets $uv to a uv that is new enough; a shell function's worth of lines, for recipes.
define find_uv
uv=uv; \
version=`uv --version 2>/dev/null | sed -n 's/^uv \([0-9][0-9]*\)\.\([0-9][0-9]*\).*/\1 \2/p'`; \
set -- $${version:-0 0}; \
if [ "$$1" -eq 0 ] && [ "$$2" -lt 9 ]; then uv=.uv/bin/uv; fi
endef

# Lets the demo and the packaging tests find the private uv.
with_uv = if [ -x .uv/bin/uv ]; then UV="$(CURDIR)/.uv/bin/uv"; export UV; fi;

$(SYNCED): pyproject.toml uv.lock
	@$(find_uv); \
	if [ "$$uv" = .uv/bin/uv ]; then $(MAKE) --no-print-directory .uv/bin/uv || exit 1; fi; \
	echo 'Setting up .venv (once, and when uv.lock changes)'; \
	"$$uv" sync --frozen --quiet && touch $@

# The Node that runs these comes with the environment.
$(NODE_PACKAGES): tests/conformance/package-lock.json | $(SYNCED)
	@echo 'Installing the packages of tests/conformance (once, and when package-lock.json changes)'
	@$(PYTHON) -m tests.conformance.node && touch $@

# Prefers the newest Python that can make an environment; a name on the PATH may not run, as a version manager's shim.
.uv/bin/uv:
	@for python in python3.14 python3.13 python3.12 python3.11 python3; do \
		if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Installing uv into .uv (once, with $$python)"; \
			rm -rf .uv && "$$python" -m venv .uv \
			&& .uv/bin/python -m pip install --quiet --disable-pip-version-check '$(UV_BOUND)' && exit 0; \
			rm -rf .uv; \
			echo 'make: uv could not be installed into .uv; the lines above say why.' >&2; \
			exit 1; \
		fi; \
	done; \
	echo 'make: this needs Python 3.11 or newer with its venv module on the PATH, and found none' \
		'(on Debian and Ubuntu: apt install python3 python3-venv).' >&2; \
	exit 1
