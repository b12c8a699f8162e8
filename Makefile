# make          build build/roost
# make run      install what is missing, build, start a whole murder on this machine
# make test     install what is missing, build, run every test
# make bench    the measurements of bench/
# make deps     only install what is missing

MESON_FLAGS ?=
RUN_DIR ?= $(HOME)/roost-murder
PYTEST = /usr/bin/python3 -m pytest

.PHONY: all deps deps-build deps-test run test bench clean

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

bench: deps-test all
	@packaging/install-deps bench
	@bench/run
	@bench/directory
	@bench/replication

clean:
	rm -rf build build-*
