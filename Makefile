# Every target sets up what is missing first; see tools/bootstrap.py.
PYTHON ?= python3
RUN = $(PYTHON) tools/bootstrap.py
# Two processes; a file's tests share what they build, so each stays in one of them.
PYTEST = -m pytest -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

setup:  ## Set up the environment: .venv, unless one is active
	@$(RUN)

demo:  ## Make a data set, train a small PaQ-DINO, test it, draw the figures
	@$(RUN) tools/demo.py

test:  ## Run the quick tests: three hosts, nothing slow
	@$(RUN) $(PYTEST)

test-all:  ## Run all tests: every host, the slow ones too
	@$(RUN) $(PYTEST) --hosts all -m ''

lint:  ## Check style
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
