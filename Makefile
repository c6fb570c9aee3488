# The commands of the house. `make run` and `make test` need Python >= 3.11, pip and nothing else.
PYTHON ?= python3
BIN := .venv/bin
export GRADIO_ANALYTICS_ENABLED := False
export HF_HUB_OFFLINE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test check lint audit index clean

run: .venv/.installed
	@$(BIN)/szqa build --if-stale
	@$(BIN)/python app.py

test: .venv/.installed-test
	@$(BIN)/python -m pytest

lint: .venv/.installed-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

audit: .venv/.installed-test
	@$(BIN)/python .ci/audit.py

check: lint audit test

index: .venv/.installed
	@$(BIN)/szqa build

clean:
	rm -rf .venv index/manifest.json index/manifest.json.* index/generation-*

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "需要 Python ≥ 3.11 (needs Python >= 3.11): make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml .venv/bin/python
	@echo "安装依赖（约一两分钟）… Installing (a minute or two) …"
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/.installed-test: pyproject.toml .venv/.installed
	@$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@
