# What this project can do. Needs Python 3.11 or newer and make; everything else comes from PyPI into .venv.

PYTHON ?= python3
PY := .venv/bin/python
SOURCES := .

.DEFAULT_GOAL := help
.PHONY: help .venv run run-fresh serve migrate test faults bench
.DELETE_ON_ERROR:

help: ## Show this list
	@sed -n 's/^\([a-zA-Z.][a-zA-Z._-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.venv: .venv/.installed ## Make the virtual environment with what the product needs

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 …' >&2; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo 'Python has no venv here; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	@touch $@

.venv/.installed: requirements.txt | .venv/.made
	@echo 'Installing what requirements.txt names …'
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt requirements.txt | .venv/.made
	@echo 'Installing what requirements-dev.txt names …'
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/.installed

.env: ## Make the file of settings, with fresh keys (never overwritten)
	@umask 077 && $(PYTHON) -m config.newenv > $@.new && mv $@.new $@
	@echo 'Made .env: it holds the keys of this installation, keep it.'

run: .venv/.installed .env ## Start the product with a demo company, an emulated PBX and an emulated CRM
	@$(PY) -m tests.demo

run-fresh: .venv/.installed .env ## The same, from the beginning (deletes var/demo)
	@$(PY) -m tests.demo --fresh

serve: migrate ## Start the product alone, as .env and the environment say
	@exec $(PY) manage.py serve

migrate: .venv/.installed .env ## Bring the database up to date
	@mkdir -p var
	@$(PY) manage.py migrate --verbosity 0

test: .venv/.dev .env ## Run every check and every test
	@mkdir -p var
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m mypy $(SOURCES)
	.venv/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) -m pytest -n auto

faults: .venv/.dev ## Break everything while 10 000 calls come, and count what is lost (FAULTS="--calls 1000"; --help for more)
	@$(PY) -m tests.faults $(FAULTS)

bench: .venv/.dev ## Measure what one core carries (BENCH=--quick for two minutes; --help for more)
	@$(PY) -m tests.bench $(BENCH)
