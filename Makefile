# `make run` does the main job, `make test` passes the tests; each makes .venv and installs everything it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
# The torch to install where an environment is new; any torch >= 2.10 serves. It is looked for in PyTorch's index of CPU
# builds, and where that does not have it or is not reached, where pip looks by itself: PyPI's build for x86_64 is one for
# CUDA, several GB with what it needs, and torch_npu does not work beside it.
TORCH ?= torch==2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
install_torch = $(1)/pip install -q --no-deps --retries 1 --index-url $(TORCH_INDEX) "$(2)" > /dev/null 2>&1 || true; \
  $(1)/pip install -q "$(2)"
VENV := .venv
BIN := $(VENV)/bin
# cmake and ninja, where the system has none: last, so that PYTHON=python stays the user's.
export PATH := $(PATH):$(CURDIR)/$(BIN)
NATIVE := $(shell find csrc op_host op_kernel cmake sim -type f \( -name '*.h' -o -name '*.hpp' -o -name '*.cpp' -o -name '*.cmake' -o -name 'CMakeLists.txt' -o -name '*.inc' \) 2>/dev/null)
# The NPU path: torch_npu and the torch it pairs with, in an environment of their own.
NPU_TORCH ?= $(if $(filter torch==2.13.0%,$(TORCH)),$(TORCH),torch==2.13.0)
TORCH_NPU ?= torch_npu==2.13.0
NPU_VENV := .venv-npu
NPU_ARGS ?=
RUN_ARGS ?=
TEST_ARGS ?=

.PHONY: help run rollout test npu-test npu-build lint format bench sim-report check-device check-cann wheel sdist test-torches check-old-torch clean install

help:
	@echo "make run      train a small Llama on real text with triangle attention, and compare (1 to 3 minutes)"
	@echo "make rollout  generate with a paged cache, recompute as training does, compare the bits (about a minute)"
	@echo "make test     all tests"
	@echo "make npu-test the tests of the NPU path: torch_npu on the simulator; REAL=1: on this machine's NPU and CANN"
	@echo "make lint     ruff, mypy, clang-format, check-device"
	@echo "make format   let ruff and clang-format rewrite the sources"
	@echo "make sim-report   what the NPU kernels reach in the timing model, against their goals"
	@echo "make bench    the benchmark's full table"
	@echo "make wheel    dist/*.whl: with NPU kernels where ASCEND_HOME_PATH is set, CPU-only elsewhere (docs/build.md)"
	@echo "make check-device  compile the kernels as device code with clang; what they take of a core"
	@echo "make check-cann ASCEND_HOME_PATH=...   compile the kernels with the headers of a real CANN"
	@echo "make test-torches   the wheel with the oldest and the newest torch, a short list of tests"
	@echo "make check-old-torch   compile csrc/ with the headers of torch 2.6 to 2.9"
	@echo "make clean    remove build products"

install: build/.installed

$(VENV)/.ready: requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip "setuptools>=77,<82" wheel
	$(BIN)/python -c "import torch" 2>/dev/null || { $(call install_torch,$(BIN),$(TORCH)); }
	$(BIN)/pip install -q -r requirements-dev.txt
	$(BIN)/pip install -q --no-deps "torchtitan==0.3.0; python_version >= '3.11'"
	@touch $@

build/.installed: $(VENV)/.ready $(NATIVE) pyproject.toml setup.py VERSION CMakeLists.txt
	$(BIN)/pip install -q --no-build-isolation --no-deps -e .
	@mkdir -p build && touch $@

run: build/.installed
	$(BIN)/python examples/pretrain_llama.py --preset demo $(RUN_ARGS)

rollout: build/.installed
	$(BIN)/python examples/rollout.py $(ROLLOUT_ARGS)

test: build/.installed
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(TEST_ARGS)
	$(MAKE) npu-test

$(NPU_VENV)/.ready: requirements-npu.txt
	test -x $(NPU_VENV)/bin/python || $(PYTHON) -m venv $(NPU_VENV)
	$(NPU_VENV)/bin/pip install -q --upgrade pip
	$(call install_torch,$(NPU_VENV)/bin,$(NPU_TORCH))
	$(NPU_VENV)/bin/pip install -q -r requirements-npu.txt
	$(NPU_VENV)/bin/pip install -q --no-deps "$(TORCH_NPU)"
	$(NPU_VENV)/bin/python -c "import pathlib, sysconfig; \
	  pathlib.Path(sysconfig.get_path('purelib'), 'triangle_attn_op.pth').write_text('$(CURDIR)/python\n')"
	@touch $@

# The simulator's libraries with CANN's names, and the kernels for it: build/npu/lib.
npu-build: $(VENV)/.ready
	ASCEND_SIM_ENGINE_DIR="$(CURDIR)/build/sim" $(BIN)/cmake -S tests/npu -B build/npu -G Ninja \
	  -DCMAKE_MAKE_PROGRAM="$(CURDIR)/$(BIN)/ninja" --log-level=WARNING
	$(BIN)/ninja -C build/npu --quiet

ifdef REAL
# On a machine with an NPU: its own CANN (source set_env.sh first), torch and torch_npu. PYTHON: the one that has them.
npu-test:
	$(PYTHON) python/triangle_attn_op/_pairing.py
	$(PYTHON) -m pytest tests/npu tests/test_accuracy.py --deselect tests/test_accuracy.py::test_any_shape --backend npu $(NPU_ARGS)
else
# The case table without torch_npu's caching allocator: every tensor is an allocation of its own, so that a kernel that
# leaves it is found: by the report (tests/npu/device_guard.py), torch_npu makes a warning of it.
# 5 is pytest's code for no test, which NPU_ARGS="-k ..." may ask for in one of the two.
NPU_PYTEST := scripts/npu_env.sh $(NPU_VENV)/bin/python -m pytest -n 2 --dist loadgroup
npu-test: build/.installed $(NPU_VENV)/.ready npu-build
	$(NPU_VENV)/bin/python python/triangle_attn_op/_pairing.py
	ASCEND_SIM_REPORT="$(CURDIR)/build/npu/report.jsonl" $(NPU_PYTEST) tests/npu --backend npu $(NPU_ARGS) || test $$? = 5
	PYTORCH_NO_NPU_MEMORY_CACHING=1 ASCEND_SIM_REPORT="$(CURDIR)/build/npu/report-table.jsonl" $(NPU_PYTEST) \
	  tests/npu/test_attention.py::test_wrong_offsets_stay_inside tests/test_accuracy.py --backend npu $(NPU_ARGS) || test $$? = 5
endif

lint: build/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files '*.h' '*.cpp' '*.hpp' '*.cc' | xargs $(BIN)/clang-format --dry-run --Werror
	ASCEND_HOME_PATH= $(MAKE) check-device PYTHON=$(BIN)/python

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	git ls-files '*.h' '*.cpp' '*.hpp' '*.cc' | xargs $(BIN)/clang-format -i

# The modelled goals of the NPU kernels; exits with 1 where one is not met.
sim-report: build/.installed
	$(BIN)/python -m triangle_attn_op.sim --goals

bench: build/.installed
	$(BIN)/python -m triangle_attn_op.bench $(BENCH_ARGS)

# Needs a clang of 14 to 19 (Debian's clang-15); without one it says so and passes, with CI=true it fails.
check-device:
	$(PYTHON) scripts/check_device.py $(SOURCES)

# SOURCES: kernels to check; without it, those of op_kernel/ and of the simulator's tests.
check-cann:
	$(PYTHON) scripts/check_cann.py $(if $(ASCEND_HOME_PATH),--home $(ASCEND_HOME_PATH)) $(SOURCES)
	$(PYTHON) scripts/check_device.py $(if $(ASCEND_HOME_PATH),--headers $(ASCEND_HOME_PATH)) $(SOURCES)

# For a wheel alone torch and the build tools are enough: .venv-build, where there is no .venv.
WHEEL_VENV := $(if $(wildcard $(VENV)/.ready),$(VENV),.venv-build)
WHEEL_PYTHON := $(WHEEL_VENV)/bin/python

.venv-build/.ready: requirements-build.txt
	test -x .venv-build/bin/python || $(PYTHON) -m venv .venv-build
	.venv-build/bin/pip install -q -r requirements-build.txt
	$(call install_torch,.venv-build/bin,$(TORCH))
	@touch $@

# The libraries in it are checked: they may need a short list of others, by bare names, and no new versions of symbols.
# auditwheel names the system that a wheel without NPU kernels runs on, as PyPI wants it; torch brings torch's libraries.
wheel: $(WHEEL_VENV)/.ready
	rm -rf build/wheel build/lib.* build/bdist.*
	$(WHEEL_PYTHON) -m pip wheel -q --no-build-isolation --no-deps -w build/wheel .
	$(WHEEL_PYTHON) scripts/check_linkage.py build/wheel/*.whl
	@mkdir -p dist
	case "$$(ls build/wheel)" in *+cann*) mv -v build/wheel/*.whl dist/;; \
	  *) PATH="$(CURDIR)/$(WHEEL_VENV)/bin:$$PATH" $(WHEEL_PYTHON) -m auditwheel repair build/wheel/*.whl -w dist --only-plat \
	    --plat "manylinux_2_28_$$(uname -m)" --exclude "libtorch*.so" --exclude "libc10.so" && ls dist/*.whl;; esac

# One wheel with the oldest torch of its stable ABI and with the newest: an environment for each, and a short list of
# tests. Not a part of `make test`: where PyTorch's index of CPU builds is not reached, torch is several GB each time.
TORCHES ?= torch==2.10.0 torch
TORCH_TESTS ?= tests/test_module.py tests/test_invariance.py tests/test_bad_input.py tests/test_pytorch.py
test-torches: wheel
	for torch in $(TORCHES); do \
	  bin=.venv-torches/$$torch/bin; set -e; $(PYTHON) -m venv .venv-torches/$$torch; \
	  $(call install_torch,$$bin,$$torch); \
	  $$bin/pip install -q --force-reinstall --no-deps dist/triangle_attn_op-$$(cat VERSION)-*manylinux*.whl; \
	  $$bin/pip install -q numpy "pytest>=8,<9.1" hypothesis expecttest; \
	  $$bin/python -m triangle_attn_op.env; \
	  $$bin/python -m pytest $(TORCH_TESTS) --backend cpu -k "not compile and not export"; \
	done

# csrc/ against the headers of torch before the stable ABI: 100 MB each, so not a part of `make lint`.
OLD_TORCHES ?= 2.9.1 2.7.1 2.6.0
check-old-torch:
	$(PYTHON) scripts/check_old_torch.py $(OLD_TORCHES)

sdist: $(WHEEL_VENV)/.ready
	@mkdir -p dist
	$(WHEEL_PYTHON) -c "from setuptools.build_meta import build_sdist; print(build_sdist('dist'))"

clean:
	rm -rf build dist python/triangle_attn_op/*.so python/triangle_attn_op/lib python/triangle_attn_op/_build_info.py python/*.egg-info
