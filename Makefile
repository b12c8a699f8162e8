# make          build build/roost
# make run      install what is missing, build, start a whole murder on this machine
# make test     install what is missing, build, run every test
# make torture  hurt a murder under load for SECONDS (1800), with SEED (a new one), then check everything
# make bench    the measurements of bench/
# make deps     only install what is missing

MESON_FLAGS ?=
RUN_DIR ?= $(HOME)/roost-murder
PYTEST = /usr/bin/python3 -m pytest

.PHONY: all deps deps-build deps-test run test torture bench clean

all: deps-build
	@test -f build/build.ninja || meson setup build $(MESON_FLAGS) -Dtests=false >/dev/null
	@ninja -C build --quiet
	@ln -sf src/roost build/roost

deps: deps-build deps-test

deps-build:
	@packaging/install-deps build

deps-test:
	@packaging/install-deps build test

run: all
	@build/roost murder --dir $(RUN_DIR)

test: deps-test
	@tests/run-all

SECONDS ?= 1800
torture: deps-test all
	@ROOST=$(CURDIR)/build/src/roost /usr/bin/python3 tests/murder/torture.py --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

bench: deps-test all
	@packaging/install-deps bench
	@bench/run
	@bench/directory
	@bench/replication
	@bench/imap

clean:
	rm -rf build build-*
