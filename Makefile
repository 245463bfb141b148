PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export NO_MKDOCS_2_WARNING := 1

.PHONY: install demo test test-slow lint docs docs-serve parity bench

install: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "usseg needs python >= 3.11; run: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	command -v uv >/dev/null || $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	command -v uv >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "installing into .venv: 7.5 GB on Linux with an x86_64 processor, most of it CUDA; README.md says why"
	uv pip install --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	mkdir -p .venv/import && ln -sfn ../.. .venv/import/usseg  # mypy knows a package by its folder's name
	touch $@

demo: install
	test -d .dvc || dvc init --quiet
	dvc repro
	usseg scores
	@echo "report: $(CURDIR)/report/index.html"

# So many tests at once, each with one thread. They start Python hundreds of times: what it compiles is kept.
AT_ONCE ?= 2
unexport PYTHONDONTWRITEBYTECODE

test: install
	pytest -m 'not slow' -n $(AT_ONCE) --dist worksteal

test-slow: install
	pytest -m slow -n $(AT_ONCE) --dist loadscope

lint: install
	ruff check .
	ruff format --check .
	mypy

docs: install
	mkdocs build --strict
	@echo "pages: $(CURDIR)/build/site/index.html"

docs-serve: install
	mkdocs serve

parity: install
	pytest tests/parity --parity-report docs/results/parity.md

bench: install
	python -m benchmarks
