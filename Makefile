# Two commands do everything:
#
#   make forecast START=2024-01-01 [ARGS="--members 4"]   install what is needed, run the main job
#   make test                                             install what is needed, pass all checks
#
# On Linux the package index may offer torch with CUDA, which is large; an index of CPU wheels can
# be named beside the usual one with TORCH_INDEX=URL. Another Python: PYTHON=/path/to/python3.11.

START ?= 2024-01-01
ARGS ?=
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt

export PREFECT_SERVER_ANALYTICS_ENABLED = false
export DO_NOT_TRACK = 1

.PHONY: help forecast test lint slow browser install clean
.DELETE_ON_ERROR:

help:
	@echo 'make forecast START=2024-01-01 [ARGS="--members 4"]   install what is needed, run the main job'
	@echo 'make test      install what is needed, lint, type-check, test with coverage'
	@echo 'make lint      ruff, mypy, import-linter'
	@echo 'make slow      the tests that take minutes'
	@echo 'make browser   the tests of pages, in the Chromium of this machine'
	@echo 'make install   only install what make forecast needs'
	@echo 'make clean     remove the virtual environment and caches; results and the store stay'

# bin/python is there before pip is, so a stamp says that the environment is whole
$(VENV)/created:
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "Python 3.11 is needed; name it with: make PYTHON=/path/to/python3.11"; exit 2; }
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/created
	@echo "installing locked dependencies into $(VENV): some minutes, once"
	$(PIP) torch==2.13.0 -e .
	@touch $@

$(VENV)/installed-test: pyproject.toml constraints.txt | $(VENV)/created
	@echo "installing locked dependencies and the test tools into $(VENV): some minutes, once"
	$(PIP) torch==2.13.0 -e '.[test]'
	@touch $(VENV)/installed $@

install: $(VENV)/installed

forecast: $(VENV)/installed
	$(PY) -m flows.forecast --start $(START) $(ARGS)

lint: $(VENV)/installed-test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

test: lint
	$(PY) -m pytest -n auto --dist loadfile --cov --cov-report=term

slow: $(VENV)/installed-test
	$(PY) -m pytest -m slow

$(VENV)/installed-browser: $(VENV)/installed-test
	$(PIP) torch==2.13.0 -e '.[test,browser]'
	@touch $@

# apt-get install chromium first, or CHROMIUM=/path/to/one; nothing is downloaded
browser: $(VENV)/installed-browser
	$(PY) -m pytest -m browser tests/browser

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
	  .import_linter_cache .hypothesis .coverage
