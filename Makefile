# make          build the programs
# make demo     install what is missing, build, and run the pipeline on the small model in demo/
# make test     the whole test suite
# make parity   compare whole runs with PyTorch in float64 (downloads PyTorch into .build/venv)
# make slurm-test  pipelines/slurm on a real Slurm of two nodes on this machine (installs it as root; else skips)
# make lint     check the formatting of all Swift code; make format mends it

SWIFT ?= swift
PYTHON ?= python3
PROGRAMS := .build/release
VENV := .build/venv

.PHONY: build deps demo test parity venv lint format clean

build: deps
	$(SWIFT) build -c release

deps:
	@scripts/install-dependencies

demo: build
	@PATH="$(CURDIR)/$(PROGRAMS):$$PATH" pipelines/demo demo-output

# Tests are built as the programs are, so that both share one build.
test: deps
	$(SWIFT) build -c release --build-tests
	$(SWIFT) test -c release --disable-testable-imports --skip-build
	Tests/FetchTests/run

parity: build venv
	$(VENV)/bin/python Tests/Parity/compare.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/compare_sae.py --programs $(PROGRAMS)

venv: $(VENV)/ready

$(VENV)/ready: Tests/Parity/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement $<
	touch $@

slurm-test: build
	@PATH="$(CURDIR)/$(PROGRAMS):$$PATH" scripts/slurm-test .build/slurm-test.log

lint:
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests

clean:
	rm -rf .build demo-output
