# make demo : sets everything up, then segments the bundled time-lapse (and opens it in napari where there is a display)
# make test : sets everything up, then checks style and types and runs the tests
# make test-benchmarks : runs the tests of the programs in benchmarks/, which `make test` leaves out
SHELL := /bin/bash
VENV := .venv
STAMP := $(VENV)/.stamp
OUT ?= demo
# a virtual screen where Linux has none
XVFB = $(if $(DISPLAY)$(filter-out Linux,$(shell uname -s)),,xvfb-run -a -s '-screen 0 1600x1000x24')
# a process of pytest for each core, up to four; `make test WORKERS=` runs the tests one after the other
WORKERS = -n logical --maxprocesses 4 --dist worksteal
# byte code is kept (imports are twice as fast), torch's threads sleep while they wait (they share the cores with a
# software OpenGL)
unexport PYTHONDONTWRITEBYTECODE QT_QPA_PLATFORM
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test test-again test-benchmarks lint docs clean
demo: $(STAMP)
	$(VENV)/bin/rleseg demo --out $(OUT) --overwrite
test: lint
	$(XVFB) $(VENV)/bin/python -m pytest -q $(WORKERS)
test-again: $(STAMP)
	$(XVFB) $(VENV)/bin/python -m pytest -q --last-failed --last-failed-no-failures none
test-benchmarks: $(STAMP)
	$(XVFB) $(VENV)/bin/python -m pytest -q $(WORKERS) -m benchmark
lint: $(STAMP)
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy
docs: $(STAMP)
	$(VENV)/bin/python scripts/make_token_pictures.py
	$(VENV)/bin/rleseg synth $(OUT)-cells --frames 24 --height 512 --width 512 -q --overwrite
	$(VENV)/bin/rleseg tokens stats $(OUT)-cells/classes.tif --scheme lac,3d-f,tac,ltac --frames 2,3 --patch 128 --subsample 4 \
		--plot docs/images/token-lengths.png -q --overwrite
	$(XVFB) $(VENV)/bin/python scripts/make_screenshots.py
$(STAMP): pyproject.toml constraints.txt scripts/setup.sh
	bash scripts/setup.sh $(VENV) && touch $@
clean:
	rm -rf $(VENV) demo demo-cells
