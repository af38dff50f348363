# The daily commands; `just` alone lists them.

_list:
    @just --list --unsorted

# The demo, as a user gets it: http://127.0.0.1:8080
run *args:
    cargo run --release -- {{ args }}

# A recording as fast as it was made, or faster: `just replay FILE coinbase 10`
replay file venue speed="1":
    cargo run --release -- serve --replay {{ file }} --venue {{ venue }} --speed {{ speed }}

# All tests, with what they need installed
test:
    scripts/test

# The tests whose names contain a text: `just only conflate`
only name:
    cargo test --workspace {{ name }}

# What CI runs
ci:
    .ci/run

# Formatting, lints and docs: before each commit
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items

# Formats everything and applies what clippy is sure of
fix:
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
    cargo fmt --all

# Benchmarks, or some: `just bench decode`
bench *args:
    cargo bench {{ if args == "" { "" } else { "--bench" } }} {{ args }}

# Under load, beside a raw socket and a textbook server: `just load C D2`
load *args:
    scripts/load {{ args }}

# Licences, banned crates and where crates come from
deny:
    cargo deny check licenses bans sources

# Known weaknesses in the crates we use; asks the network
advisories:
    cargo deny check advisories

# The docs in a browser, private items included
doc:
    cargo doc --workspace --no-deps --document-private-items --open

# Fuzzes each codec for so many seconds; needs a nightly toolchain and cargo-fuzz
fuzz seconds="90" *targets:
    feeds/fuzz/run {{ seconds }} {{ targets }}

# Fuzzes what clients and proxies send: queries, bodies, cursors, headers, the PROXY protocol; needs the same
fuzz-requests seconds="300" *targets:
    fuzz/run {{ seconds }} {{ targets }}
