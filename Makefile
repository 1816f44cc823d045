# SPDX-License-Identifier: GPL-2.0
# The only entry point; the work is done by scripts in lab/, tools/ and tests/.

ARCH ?= um
kernel_options = --arch $(ARCH) $(if $(RELEASE),--release)
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:

help: ## this list
	@echo 'RWF_WRITETHROUGH for Linux. make ...'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile
	@echo 'ARCH=um (User-Mode Linux, default) or x86_64 (QEMU); RELEASE=1 without debugging options;'
	@echo "LINUX_TARBALL=FILE takes the kernel source from there; V=1 shows a test's whole output."

demo: need-demo kernel programs ## see what the flag does
	@tools/demo.sh

test: need-test kernel programs ## run the tests
	@[ $(ARCH) != um ] || lab/kernel --arch x86_64 --release >/dev/null
	@tests/run $(kernel_options)

mutants: kernel programs ## plant bugs, and see the tests find them
	@tests/mutants.sh $(MUTANTS)

coverage: ## how much of our kernel code the tests reach (COVERAGE=--full: every failure, too)
	@tests/coverage $(COVERAGE)

suite: ## run a file-system suite, built in SUITE=DIR: TESTS='...' GROUPS='...' CONFIGS='4k 1k ...'
	@tests/suite --suite '$(SUITE)' $(if $(RELEASE),--release) $(if $(TESTS),--tests '$(TESTS)') \
		$(if $(GROUPS),--groups '$(GROUPS)') $(if $(CONFIGS),--configs '$(CONFIGS)')

soak: kernel programs ## run the tests that go by chance for HOURS=N (0.5 will do, too)
	@tests/soak --hours $(or $(HOURS),1) $(kernel_options)

bench: ## measure how fast it is: P=P1,P4; RULER=instructions; CELLS='direct*'; on a real machine, BENCH_HOST=1 DEV=/dev/X
	@bench/run $(P) $(if $(RULER),--ruler $(RULER)) $(if $(CELLS),--cells '$(CELLS)') $(if $(BENCH_HOST),--host '$(DEV)' $(if $(CONFIRM),--confirm '$(CONFIRM)'))

bench-compare: ## two runs of it, A=DIR B=DIR (copies of build/bench)
	@bench/compare '$(A)' '$(B)'

bench-report: ## write docs/results from build/bench
	@bench/report

docs: ## write the parts of the documentation that are made from something else
	@lab/docs

powerloss: need-test kernel programs ## every state that a power failure could leave; STATES=N, ATOMIC=N of them
	@lab/kernel --arch x86_64 --release >/dev/null
	@tools/powerloss.sh --kinds 'fua flush none realtime logged' -j $$(nproc) $(if $(STATES),--states $(STATES)) $(if $(ATOMIC),--atomic $(ATOMIC)) \
		$(if $(SEED),--seed $(SEED))

failures: kernel programs ## make everything that can fail in a call fail (FAULTS='SCENARIO...')
	@tests/failures $(FAULTS)

stress: kernel programs ## several processes, and all that a machine does to them (STRESS='OPTION...')
	@tests/stress $(or $(STRESS),--seconds 600)

check: ## checkpatch, sparse, compiler warnings, shellcheck
	@lab/check

check-series: ## build every step of the patch series, and its variants
	@lab/check-series

tree: ## build/linux: the kernel's source, our patches as commits, our files linked in
	@lab/tree

kernel: ## build the lab's kernel
	@lab/kernel $(kernel_options) >/dev/null

programs: ## build what runs in the lab, into build/bin
	@lab/programs

shell: kernel programs ## a shell in the lab
	@lab/run --interactive --timeout 86400 $(kernel_options) -- $(or $(SHELL_IN_LAB),/bin/bash)

run: kernel programs ## run CMD='...' in the lab
	@lab/run $(kernel_options) -- sh -c '$(subst ','\'',$(CMD))'

refresh: ## write hooks that were edited (and committed) in build/linux back to patches/
	@lab/refresh

series: ## build/series: the patches to mail
	@lab/series

# What is missing is found before anything long starts.
need-demo:
	@lab/need build programs test $(filter x86_64,$(ARCH))

need-test:
	@lab/need build programs test x86_64

clean: ## remove what was built, keep the source tree
	@lab/clean

distclean: ## remove build/ whole
	@lab/clean all

.PHONY: $(shell awk -F: '/^[a-z][a-z0-9_-]*:/ { print $$1 }' Makefile)
