# Each target makes what it needs.  A virtual environment carries stamp files, so that a second run does
# only what has changed since: .python-X.Y.Z (made, by that Python), .installed (the package), .extra (the
# test extra), .docs (the docs extra).
#
#   PYTHON       the interpreter to make the environment with
#   VENV         where the environment is
#   PYTEST_ARGS  passed on to pytest
#   SECONDS, SEED  for `make stress`
#   PYTHONS      for `make matrix`: these interpreters in place of those that it finds
#   WHEELS_ARGS  for `make wheels`: passed on to .ci/wheels.py, which says with --help what it takes

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
SECONDS ?= 600
WHEELS_ARGS ?=

PYTHON_VERSION := $(shell $(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null)
MADE = $(VENV)/.python-$(PYTHON_VERSION)
SOURCES := setup.py pyproject.toml \
	$(shell find csrc greenswitch -name __pycache__ -prune -o ! -name '*.so' ! -name '*.o' -print)

# Isolated: neither this directory, whose greenswitch/ has no compiled core, nor the user's site-packages.
python = $(VENV)/bin/python -I
pip = $(python) -m pip --disable-pip-version-check

# What pip says above of an index that it cannot reach is long, and does not say what for.
no_index = { echo 'could not install $(1): they come from PyPI, or from the index that pip is configured for' >&2; \
	exit 1; }

.NOTPARALLEL:
.PHONY: help demo test stress matrix wheels test-c test-aarch64 lint docs bench conformance clean

help:
	@echo 'make demo          build and install into $(VENV), run the examples, show what they showed'
	@echo 'make test          build and install into $(VENV), run the tests'
	@echo 'make stress        the random stress of the switcher for SECONDS seconds, with SEED if given'
	@echo 'make matrix        the tests on every supported CPython that this machine has'
	@echo 'make wheels        wheels by the means at hand, in wheelhouse/, each tested where it runs'
	@echo 'make test-c        the C tests of the machine and stack layers, with each compiler at three levels, and under valgrind'
	@echo 'make test-aarch64  the same tests, cross-compiled and under qemu'
	@echo 'make lint          ruff and mypy'
	@echo 'make docs          the documentation as web pages, in build/docs'
	@echo 'make bench         the microbenchmarks'
	@echo "make conformance   how greenlet's, gevent's and asyncio's own tests end on those and on greenswitch"
	@echo 'make clean         remove all that these have made'

demo: $(VENV)/.installed
	@$(VENV)/bin/python examples/demo.py

test: $(VENV)/.extra $(VENV)/.installed
	@$(python) -m pytest $(PYTEST_ARGS)

stress: $(VENV)/.extra $(VENV)/.installed
	@$(python) tests/stress --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

matrix:
	@$(PYTHON) .ci/matrix.py $(PYTHONS)

wheels:
	@$(PYTHON) .ci/wheels.py $(WHEELS_ARGS)

test-c:
	@sh tests/c/run.sh native
	@sh tests/c/run.sh valgrind

test-aarch64:
	@sh tests/c/run.sh aarch64

lint: $(VENV)/.extra
	@$(python) -m ruff check .
	@$(python) -m mypy

docs: $(VENV)/.docs
	@$(python) -m mkdocs build --strict

bench: $(VENV)/.extra $(VENV)/.installed
	@$(python) -m greenswitch.bench

conformance: $(VENV)/.extra $(VENV)/.installed
	@$(python) tests/conformance

clean:
	rm -rf .venv .venv-3.* build dist wheelhouse *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@test -n '$(PYTHON_VERSION)' || { \
		echo '$(PYTHON) does not run here: install CPython 3.10 or newer, or say which: make PYTHON=...' >&2; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo '$(PYTHON) is Python $(PYTHON_VERSION), and greenswitch needs CPython 3.10 or newer:' \
			'make PYTHON=...' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo '$(PYTHON) cannot make virtual environments: install its venv module' \
			'(the package is python3-venv on Debian and Ubuntu)' >&2; exit 1; }
	@echo "making $(VENV) with Python $(PYTHON_VERSION)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(pip) install -qq 'setuptools>=77.0.3' 'cython>=3.1' || $(call no_index,setuptools and Cython)
	@touch $@

# setup.py compiles first and by itself: what it has to say about this machine is then said without pip's
# frame around it.  build/lib* goes away because setuptools would install what was once copied there.
$(VENV)/.installed: $(SOURCES) $(MADE)
	@echo 'building greenswitch'
	@$(python) setup.py --quiet build_ext
	@rm -rf build/lib*
	@$(pip) install -qq --no-build-isolation --no-deps --force-reinstall .
	@touch $@

$(VENV)/.extra: pyproject.toml $(MADE)
	@echo 'installing what the tests need'
	@$(python) setup.py --quiet build_ext
	@rm -rf build/lib*
	@$(pip) install -qq --no-build-isolation '.[test]' || $(call no_index,what the tests need)
	@touch $@

$(VENV)/.docs: pyproject.toml $(MADE)
	@echo 'installing what the documentation is made with'
	@$(python) setup.py --quiet build_ext
	@rm -rf build/lib*
	@$(pip) install -qq --no-build-isolation '.[docs]' || $(call no_index,what the documentation is made with)
	@touch $@
