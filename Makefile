# make quickstart | test | build | deps | lint | sanitize | oracles | oracles-torch | bench | clean. Each is safe to run again.
SHELL := /bin/bash
.DEFAULT_GOAL := build
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
JOBS := $(shell nproc)
DEPS := g++ cmake ninja-build ccache pkg-config clang-format-14 clang-tidy-14 python3 \
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libpcre2-dev libutf8proc-dev libfmt-dev libspdlog-dev \
  libsqlite3-dev zlib1g-dev libssl-dev libboost1.81-dev libcurl4-openssl-dev libdnnl-dev libgtest-dev libbenchmark-dev

# The program alone; `make test` builds the tests too.
.PHONY: deps configure build test quickstart lint format sanitize oracles oracles-torch bench clean

# Installs only what dpkg does not know yet, so a second run needs neither network nor root.
define install
	@missing=""; for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing:$$missing"; \
	  $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
endef

deps:
	$(call install,$(DEPS))

configure: deps
	@mkdir -p build
	@cmake --preset release >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }

build: configure
	@cmake --build --preset release -j $(JOBS) --target alambic

test: configure
	@cmake --build --preset release -j $(JOBS)
	@ctest --preset release -j $(JOBS) --output-junit tests.xml

quickstart: build
	@build/release/alambic distill examples/quickstart.toml --run-dir runs/quickstart --overwrite

lint: deps
	@cmake --preset lint >/dev/null
	@tests/lint.sh

format:
	@git ls-files '*.cc' '*.h' '*.inl' | xargs clang-format-14 -i

sanitize: deps
	@cmake --preset sanitize >/dev/null
	@cmake --build --preset sanitize -j $(JOBS)
	@ctest --preset sanitize -j $(JOBS)

# Independent programs that tests compare with, by pip, in a Python of their own; `make test` uses it where it is there.
# `installed` holds the lists that it was made of: changed lists make it anew.
build/oracles/installed: tests/golden/oracles.txt
build/oracles-torch/installed: tests/golden/oracles-torch.txt tests/golden/oracles.txt
build/oracles/installed build/oracles-torch/installed:
	$(call install,python3 python3-venv)
	@if cat $^ | cmp -s - $@; then touch $@; else \
	  echo "bringing the packages of $< to $(@D)"; \
	  python3 -m venv --clear $(@D) && \
	  $(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $< && \
	  cat $^ >$@; fi

oracles: build/oracles/installed configure
	@cmake --build --preset release -j $(JOBS) --target alambic text_test models_test
	@ctest --preset release -j $(JOBS) -L oracle

# Before a release: what needs torch, too (5.6 GB). Its table, with date and versions, belongs in docs/oracles.md.
oracles-torch: build/oracles-torch/installed configure
	@cmake --build --preset release -j $(JOBS) --target alambic text_test models_test
	@build/oracles-torch/bin/python tests/golden/release_checks.py build/release

bench: build
	@build/release/alambic bench

clean:
	@rm -rf build
