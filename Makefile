# Everything a newcomer needs: `make demo` runs the main job, `make test` passes the tests. Both set up what they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
STAMP := $(shell cat pyproject.toml constraints.txt Makefile | cksum | cut -d' ' -f1)
RUNTIME := $(VENV)/.runtime-$(STAMP)
COMPLETE := $(VENV)/.complete-$(STAMP)
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
export PYTHONUTF8 := 1
export OMP_WAIT_POLICY := PASSIVE

.PHONY: help setup demo test lint wheels check-wheels figure bundle clean

help:
	@echo "make demo     run the main job on a generated case; the report lands in $(DEMO)/report"
	@echo "make test     lint, types and tests"
	@echo "make figure   list the figures; make figure NAME=<name> runs one, SAVE=1 keeps it in docs/benchmarks.md"
	@echo "make wheels   build a folder of wheels for installing without a network"
	@echo "make bundle   fit the demonstration bundle's heads again on the study's embedded patients (minutes)"

# torch comes first and alone: any open range behind it would pull another build of several gigabytes.
$(RUNTIME): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once; takes a minute or two)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; run make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install "torch==2.13.0"
	@$(PIP) install -c constraints.txt setuptools wheel
	@$(PIP) install -c constraints.txt --no-build-isolation --no-deps antlr4-python3-runtime iopath
	@$(PIP) install -c constraints.txt -e ".[export]"
	@SAM2_BUILD_CUDA=0 $(PIP) install --no-deps --no-build-isolation "sam2==1.1.0"
	@$(BIN)/python -c "import sam2, torch, SimpleITK; from MemorySurvivalLib.memory.backbone import COMPACT, build_backbone; build_backbone(COMPACT)"
	@rm -f $(VENV)/.runtime-* && touch $@

$(COMPLETE): $(RUNTIME)
	@$(PIP) install -c constraints.txt -e ".[export,train,study,test]"
	@rm -f $(VENV)/.complete-* && touch $@

setup: $(COMPLETE)

demo: $(RUNTIME)
	@test -f $(DEMO)/case/truth.json || $(BIN)/memory-survival simulate case --scenario main --seed 6 --spacing-mm 2.5 --out $(DEMO)/case
	@$(BIN)/memory-survival score --ct $(DEMO)/case/ct.nrrd --pet $(DEMO)/case/pet.nrrd \
		--roi $(DEMO)/case/spine_dilated.nrrd --covariates $(DEMO)/case/covariates.csv \
		--bundle demonstration --explain --measure --overwrite --out $(DEMO)/report
	@echo "Open $(DEMO)/report/report.html"

lint: $(COMPLETE)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# Two processes of one thread: two cores are the least that we promise to be enough. Testing/conftest.py says what runs where.
test: lint
	@QT_QPA_PLATFORM=offscreen OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup \
		--cov --cov-report=term:skip-covered $(PYTEST)

figure: $(COMPLETE)
	@$(BIN)/python -m Testing.Benchmarks $(NAME) $(if $(SAVE),--save)

wheels: $(RUNTIME)
	@mkdir -p wheels
	@$(PIP) wheel -c constraints.txt --no-build-isolation --no-deps -w wheels antlr4-python3-runtime iopath
	@SAM2_BUILD_CUDA=0 $(PIP) wheel --no-deps --no-build-isolation -w wheels "sam2==1.1.0"
	@$(PIP) install -c constraints.txt hatchling
	@$(PIP) wheel -c constraints.txt --no-build-isolation --find-links wheels -w wheels ".[export]"
	@echo "Install without a network: pip install --no-index --find-links wheels memory-survival[export]"
	@echo "                      then pip install --no-index --no-deps --find-links wheels sam2"

check-wheels: wheels
	@rm -rf wheels/check && $(PYTHON) -m venv wheels/check
	@wheels/check/bin/python -m pip -q --disable-pip-version-check install --no-index --find-links wheels "memory-survival[export]"
	@wheels/check/bin/python -m pip -q --disable-pip-version-check install --no-index --no-deps --find-links wheels sam2
	@cd / && $(CURDIR)/wheels/check/bin/memory-survival bundle verify demonstration
	@rm -rf wheels/check

bundle: $(COMPLETE)
	@$(BIN)/python -m MemorySurvivalLib.study bundle --parts Testing/Study/parts --out Resources/Bundles/demonstration.msbundle

clean:
	@rm -rf $(VENV) wheels build $(DEMO) .pytest_cache .mypy_cache .ruff_cache .coverage
