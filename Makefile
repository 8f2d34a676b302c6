# Every target sets up what is missing first; see tools/bootstrap.py.
PYTHON ?= python3
RUN = $(PYTHON) tools/bootstrap.py

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

setup:  ## Set up the environment: .venv, unless one is active
	@$(RUN)

demo:  ## Make a data set, train a small PaQ-DINO, test it, draw the pictures
	@$(RUN) tools/demo.py

test:  ## Run the quick tests: three hosts, nothing slow
	@$(RUN) -m pytest

test-all:  ## Run all tests: every host, the slow ones too
	@$(RUN) -m pytest --hosts all -m ''

lint:  ## Check style
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
