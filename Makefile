# Few verbs; `make help` lists them. Each makes .venv and installs what it needs the first time.
#
#   PYTHON=python3.12     build .venv with this interpreter
#   WHEELHOUSE=dir        install from a folder, without a network (`make wheelhouse` fills one)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help security advisories demo sim storm pumps test check fmt docs bench stations meters fuzz wheelhouse install-test commands crash crash-mutants nonces rig-ble rig-usb rig-powercut rig-stations clean
MAKEFLAGS += --no-print-directory

export PYTHON ?= python3
export WHEELHOUSE
BIN := .venv/bin

# Test files are shared out to this many processes. TESTS picks what to run, ARGS goes to pytest.
JOBS ?= 2
TESTS ?= tests
ARGS ?=

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## the whole road on this machine, live: four kinds of device to a verdict (SECONDS=20)
	@tools/venv.sh demo
	@$(BIN)/headgate demo $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

sim: ## eight simulated water gauges on Modbus TCP (ARGS="--count 100 --seed 7")
	@tools/venv.sh demo
	@$(BIN)/headgate sim water-gauge $(ARGS)

storm: MINUTES ?= 10
storm: ## a hundred devices on nine kinds of line, faults all along, judged by the truth (MINUTES=10)
	@tools/venv.sh demo
	@PYTHONPATH=tools $(BIN)/python -m storm --minutes $(MINUTES) $(ARGS)

pumps: ## pumps commanded while everything is killed and attacked, judged by the PLC's log (MINUTES=5, SEED=1)
	@tools/venv.sh test
	@. tools/peers.sh; HEADGATE_MINUTES=$(or $(MINUTES),5) HEADGATE_SEED=$(or $(SEED),1) \
	    $(BIN)/python -m pytest -q -s tests/journeys/soak_commands.py $(ARGS)

test: ## all tests, against real peers (TESTS=tests/unit, ARGS="-k spool")
	@tools/venv.sh test
	@. tools/peers.sh; $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TESTS) $(ARGS)

check: ## style, types, import contracts, the way to the outside world
	@tools/venv.sh check
	@failed=; run() { echo "-- $$*"; $(BIN)/"$$@" || failed="$$failed, $$1 $${2-}"; }; \
	run ruff check --quiet --output-format concise; \
	run ruff format --check --quiet --output-format concise; \
	run mypy; \
	run lint-imports --no-cache --no-logo; \
	run python tools/env_lint.py; \
	run python tools/dependencies.py; \
	if [ -n "$$failed" ]; then echo "make check, see above:$${failed#,}"; exit 1; fi

advisories: ## what the public database knows of the pinned libraries (needs a network, and pip-audit)
	@tools/venv.sh check
	@$(BIN)/python -m pip_audit --version >/dev/null 2>&1 || \
	    $(BIN)/python -m pip install --disable-pip-version-check -q -c requirements/run.txt pip-audit >/dev/null 2>&1 || true
	@$(BIN)/python tools/dependencies.py --online

fmt: ## put code into the house's shape
	@tools/venv.sh check
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

docs: ## the documentation, into docs/_build/html; a warning is an error
	@tools/venv.sh docs
	@$(BIN)/python -m sphinx -b html -W --keep-going -n -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: ## points per second, CPU, delay, memory, outage, on this machine
	@tools/venv.sh demo
	@$(BIN)/python -m bench $(ARGS)

stations: ## stations that dial: all that the field does, then 500 and 200 loggers at real rates (SCENE=--relay)
	@tools/venv.sh test
	@. tools/peers.sh; $(BIN)/python -m pytest -q tests/journeys/soak_sl651.py $(ARGS)
	@. tools/peers.sh; PYTHONPATH=tests nice -n 10 $(BIN)/python -m bench.stations load --stations $(or $(COUNT),500) --loggers $(or $(LOGGERS),200) --seconds $(or $(SECONDS),310) $(SCENE)

meters: ## 32 meters at 2400 baud with echo in real time: minutes of looks, then a midnight (SECONDS=300)
	@tools/venv.sh test
	@. tools/peers.sh; PYTHONPATH=tests nice -n 10 $(BIN)/python -m bench.meters live --seconds $(or $(SECONDS),300)
	@. tools/peers.sh; PYTHONPATH=tests nice -n 10 $(BIN)/python -m bench.meters midnight

fuzz: ## hostile bytes for every decoder (SECONDS=30 each, TARGETS="serial payload")
	@tools/venv.sh fuzz
	@$(BIN)/python -m fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(TARGETS)

crash: ## power cuts, kills, disk faults, rot, until told to stop (MINUTES=10, SEED=7, PARTS=images,rot; PART= CASE= again)
	@tools/venv.sh test
	@. tools/peers.sh; $(BIN)/python tests/crash $(if $(CASE),replay $(PART) "$(CASE)",--minutes $(or $(MINUTES),1) \
	    --seed $(or $(SEED),1) $(if $(PARTS),--parts $(PARTS)) $(ARGS))

nonces: ## 1,000 lives of restored, cloned and killed boxes: no nonce twice, no twin unseen (LIVES=1000, SEED=1)
	@tools/venv.sh test
	@PYTHONPATH=tests:tests/crash $(BIN)/python tests/crash/part_nonces.py $(or $(LIVES),1000) $(or $(SEED),1)

security: ## what standards ask of a box, the tests that show it, and whether they pass (ARGS="--rows 39786")
	@tools/venv.sh test
	@. tools/peers.sh; $(BIN)/python tools/security_map.py $(ARGS)

commands: ## ten thousand repeats, every effect the last one, all the way to a pump that counts writes (COUNT=10000)
	@tools/venv.sh test
	@. tools/peers.sh; HEADGATE_REPEATS=$(or $(COUNT),10000) $(BIN)/pytest -q --timeout 3600 \
	    tests/unit/commands $(wildcard tests/journeys/test_commands_*.py)

crash-mutants: ## plants bugs one by one and shows which part of `make crash` catches each (ARGS="--only receipt")
	@tools/venv.sh test
	@. tools/peers.sh; $(BIN)/python tests/crash/mutants $(ARGS)

wheelhouse: FOLDER = $(or $(WHEELHOUSE),wheelhouse)
wheelhouse: ## wheels of everything, for machines without a network (WHEELHOUSE=dir)
	@WHEELHOUSE= tools/venv.sh test
	@$(BIN)/python -m pip wheel --disable-pip-version-check -q -w $(FOLDER) -c requirements/run.txt \
	    $(foreach file,build run test check docs,-r requirements/$(file).txt) pip . \
	    >.venv/wheelhouse.log 2>&1 || { echo "not all wheels could be had: .venv/wheelhouse.log"; exit 1; }
	@cp packaging/install.sh $(FOLDER)/
	@echo "$(FOLDER): $$(ls $(FOLDER)/*.whl | wc -l) wheels; use: make test WHEELHOUSE=$(FOLDER), sudo $(FOLDER)/install.sh"

install-test: ## install, upgrade, a failed upgrade, take off: for real, below a temporary root
	@tools/venv.sh demo
	@tools/install_test.sh

rig-ble: ## the BLE driver on real BlueZ, in a virtual machine (slow, optional; ARGS="--only heard")
	@tools/venv.sh demo
	@$(BIN)/python -m rigs ble $(ARGS)

rig-usb: ## Modbus on a USB serial port whose plug is pulled, in a virtual machine (slow, optional)
	@tools/venv.sh demo
	@$(BIN)/python -m rigs usb $(ARGS)

rig-powercut: ## the spool on a disk that loses its power, in a virtual machine (CUTS=5, SEED=1; slow, optional)
	@tools/venv.sh test
	@$(BIN)/python -m rigs powercut $(if $(CUTS),--rounds $(CUTS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

rig-stations: ## stations dial a gateway whose power is cut around a commit, in a virtual machine (CUTS=2, SEED=1)
	@tools/venv.sh test
	@. tools/peers.sh; $(BIN)/python -m rigs stations $(if $(CUTS),--rounds $(CUTS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

clean: ## remove what was made, the virtual environment too
	rm -rf .venv .fuzz docs/_build build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
