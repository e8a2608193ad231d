# A front for CMake: `make demo` to see it work, `make test` to check it.
#   BUILD=dir          build folder                       JOBS=n         parallel compilers (default: what cores and memory allow)
#   TORCH=auto|debian|wheel|<prefix>   which libtorch     DEPS=no        install no packages
#   CI=true            warnings are errors                PREFIX=dir     where `make install` installs
#   CUDA=wheel         install nvcc too (docs/cuda.md)
#   UNITY=n            sources compiled together (default 8: fastest from nothing; 0: fastest after a small change)
BUILD ?= build
TORCH ?= auto
PREFIX ?= /usr/local
DEPS ?= yes
CUDA ?= no
UNITY ?= 8
CMAKE_ARGS ?=
PYTHON_ENV := $(BUILD)/python-env
# A compiler that holds libtorch's headers takes up to 1.5 GB.
JOBS ?= $(shell cores=$$(nproc 2>/dev/null || echo 2); fit=$$(awk '/MemAvailable/ {print int($$2 / 1500000)}' /proc/meminfo 2>/dev/null); \
          fit=$${fit:-2}; [ $$fit -ge 1 ] || fit=1; [ $$fit -le $$cores ] && echo $$fit || echo $$cores)
WERROR := $(if $(filter-out false 0 no,$(CI)),ON,OFF)
BENCH := $(if $(filter bench,$(MAKECMDGOALS)),ON,$(WERROR))

.PHONY: help python demo test build all bench format clean install deps docs-check
.DEFAULT_GOAL := help

help:
	@echo 'make demo     train and check a small mixture, and say where its report lies (12 minutes on two cores)'
	@echo 'make test     build everything and run the fast tests'
	@echo 'make build    build $(BUILD)/gatewright'
	@echo 'make python   build and test the Python package in an environment of its own, $(PYTHON_ENV)'
	@echo 'make bench    measure the kernels against the machine peak'
	@echo 'make install  install the program, the library and its headers to PREFIX=$(PREFIX)'
	@echo 'make deps     install the packages that are missing       make format, make docs-check, make clean'

demo: build
	$(BUILD)/gatewright check robust_moe --size demo

# Where the environment is there, and where everything must be tested, the Python package is tested too.
test: all $(if $(filter-out false 0 no,$(CI))$(wildcard $(PYTHON_ENV)/installed),python-package)
	ctest --test-dir $(BUILD) --parallel $(JOBS) --output-on-failure --no-tests=error --timeout 600

python: python-package
	python3 tools/python_env.py test $(PYTHON_ENV)

.PHONY: python-package
python-package: deps
	CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) python3 tools/python_env.py install $(PYTHON_ENV)

build: configure
	cmake --build $(BUILD) --parallel $(JOBS) --target gatewright_cli
	@echo 'built $(BUILD)/gatewright'

all: configure
	cmake --build $(BUILD) --parallel $(JOBS)

.PHONY: configure
configure: deps
	@command -v cmake >/dev/null || { echo 'cmake is missing: run `make deps`' >&2; exit 1; }
	@cmake -S . -B $(BUILD) $(if $(wildcard $(BUILD)/CMakeCache.txt),,-G Ninja -DCMAKE_BUILD_TYPE=Release) \
	  -DGATEWRIGHT_TORCH=$(TORCH) -DGATEWRIGHT_WERROR=$(WERROR) -DGATEWRIGHT_BENCH=$(BENCH) \
	  -DGATEWRIGHT_UNITY=$(UNITY) $(CMAKE_ARGS)

deps:
ifneq ($(DEPS),no)
	@TORCH='$(TORCH)' CUDA='$(CUDA)' PYTHON='$(if $(filter python,$(MAKECMDGOALS)),yes)' tools/install_deps.sh
endif

bench: configure
	cmake --build $(BUILD) --parallel $(JOBS) --target gatewright_cli bench_bucket_norm bench_routed_cnn bench_route_recorder bench_routers
	$(BUILD)/bin/bench_bucket_norm
	$(BUILD)/bin/bench_routed_cnn --assert
	$(BUILD)/bin/bench_route_recorder --assert
	$(BUILD)/bin/bench_routers --assert
	$(BUILD)/gatewright bench --assert

docs-check: all
	ctest --test-dir $(BUILD) --output-on-failure --no-tests=error -R '^docs'

format:
	@command -v clang-format >/dev/null || { echo 'clang-format is missing: apt-get install clang-format' >&2; exit 1; }
	git ls-files '*.cpp' '*.h' '*.inl' '*.cu' '*.cuh' | xargs clang-format -i

install: build
	cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	@[ ! -e $(BUILD) ] || [ -e $(BUILD)/CMakeCache.txt ] || { echo '$(BUILD) is not a build folder: not removing it' >&2; exit 1; }
	rm -rf $(BUILD)
