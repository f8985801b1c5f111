# A newcomer needs two of these: make demo, make test.
PYTHON ?= python3
PORT ?= 8000
# Test processes; each has its own database server.
JOBS ?= 2
export PORT LONG

VENV = .venv/bin/python
RUNTIME = requirements.txt requirements-embedded.txt
SOURCES = carbonpoints tests bench scripts migrations wsgi.py

.PHONY: help demo stop test lint bench requirements migrations clean venv-runtime venv-dev

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile

demo: venv-runtime ## Run everything locally: servers, API, worker, beat, with demo data
	@exec $(VENV) -m carbonpoints.demo

stop: venv-runtime ## Stop a demo that runs in another terminal
	@$(VENV) -m carbonpoints.demo stop

test: venv-dev ## Run all tests on real servers
	@$(VENV) -m pytest -n $(JOBS)

lint: venv-dev ## Check style, types and import contracts
	@$(VENV) -m ruff check $(SOURCES)
	@$(VENV) -m ruff format --check $(SOURCES)
	@$(VENV) -m mypy
	@$(VENV) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

migrations: venv-dev ## Check that migrations and models agree, up and down
	@$(VENV) -m scripts.check_migrations

bench: venv-runtime ## Measure; LONG=1 adds the ten million events
	@exec $(VENV) -m bench

requirements: ## Pin the requirements anew (needs uv)
	@for name in requirements requirements-embedded requirements-dev; do \
	  uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-annotate --output-file $$name.txt $$name.in || exit 1; \
	done

clean: ## Remove the virtual environment, the demo's data and all caches
	@test ! -x $(VENV) || $(VENV) -m carbonpoints.demo stop
	@rm -rf .venv .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +

venv-runtime:
	@$(PYTHON) scripts/setup_venv.py $(RUNTIME)

venv-dev:
	@$(PYTHON) scripts/setup_venv.py $(RUNTIME) requirements-dev.txt
