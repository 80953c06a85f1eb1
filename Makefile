# make          build the programs
# make demo     install what is missing, build, and run the pipeline on the small model in demo/
# make test     the whole test suite
# make parity   compare whole runs with PyTorch in float64 (downloads PyTorch into .build/venv)
# make kill-test, make full-disk-test    cached runs killed at random moments, and on disks that are too small
# make lint     check the formatting of all Swift code; make format mends it

SWIFT ?= swift
PYTHON ?= python3
PROGRAMS := .build/release
VENV := .build/venv

.PHONY: build deps demo test parity venv kill-test full-disk-test lint format clean

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

parity: build venv
	$(VENV)/bin/python Tests/Parity/compare.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/compare_sae.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/compare_drop_in.py --programs $(PROGRAMS)

venv: $(VENV)/ready

$(VENV)/ready: Tests/Parity/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement $<
	touch $@

kill-test full-disk-test: build
	PATH="$(CURDIR)/$(PROGRAMS):$$PATH" Tests/Pipelines/$@

lint:
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests

clean:
	rm -rf .build demo-output
