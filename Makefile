# What a person types first. Each line of `make help` is a target below.

SHELL := /bin/bash
.DEFAULT_GOAL := help
# Where rustup puts cargo, and where nft and ip are, for a shell that has neither in its path.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin

.PHONY: help run demo deb check test bench bench-day-model bench-logins bench-servers bench-tailers fuzz walk machine soak

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## /\1\t/p' Makefile | while IFS=$$'\t' read -r name text; do \
	  printf '  make %-15s %s\n' "$$name" "$$text"; done

run: ## build both daemons and run them here, on ports above 1024, with all their files in ./var
	@scripts/run

demo: ## show an attack and its end, start to finish
	@scripts/demo

deb: ## the Debian package, in target/debian
	@scripts/packages run
	@scripts/deb

check: ## format, lints, documentation and shell scripts: what must be clean before a commit
	@scripts/packages test
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps
	shellcheck $$(grep -rlE '^#! ?/(usr/)?bin/(env )?(ba|da)?sh' scripts .ci packaging bench)

# The whole-system tests start the programs, which are therefore built before.
test: check ## make check, then every test
	cargo build --locked --workspace
	cargo test --locked --workspace

bench: ## measure again every figure that is published
	@scripts/packages test
	cargo build --locked --release -p watcher
	cargo run --locked --release -p bench --bin bench

bench-tailers: ## what other tailers make of the logs that ours follows
	@scripts/packages test
	cargo run --locked --release --manifest-path bench/tailers/Cargo.toml

bench-servers: ## what sessions cost our server, Postfix, and tcpserver with rblsmtpd
	@scripts/packages test
	cargo build --locked --release -p smtpd
	cargo run --locked --release --manifest-path bench/servers/Cargo.toml -- target/release/postern-smtpd

bench-logins: ## whether the time of a refused login tells which users there are, by who checks the passwords
	@scripts/packages test
	cargo build --locked --release -p smtpd
	python3 bench/logins.py target/release/postern-smtpd

bench-day-model: ## what a blocklist is asked in a day, with an old server and with ours
	@scripts/packages test
	cargo run --locked --release -p bench --bin bench -- day-model

fuzz: ## whatever reads bytes from outside, ten minutes each: does anything panic, or read twice what stands there once
	@scripts/fuzz

walk: ## the way of the README, from git clone to a banned attacker and a picture of it, timed
	@scripts/walk

machine: deb ## the package on a Debian that boots: installed, attacked, restarted, upgraded, removed, purged; takes root
	@scripts/machine

soak: fuzz walk machine ## make fuzz, walk, machine; 10,000 programs of rotations, 500 kills, two hours of botnets: is anything lost, does anything grow
	@scripts/packages test
	TAIL_MODEL_PROGRAMS=10000 TAIL_LONG_LINE_BYTES=1073741824 cargo test --locked --release -p watcher --test tail
	cargo build --locked --release -p smtpd -p watcher
	scripts/testssl target/release/postern-smtpd
	CHAOS_ROUNDS=500 cargo test --locked --release -p e2e --test scenarios chaos
	cargo run --locked --release -p bench --bin soak
