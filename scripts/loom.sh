#!/usr/bin/env bash
# The model checker. See --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Runs the threads that keep what was read coherent in every order that they can run in.

usage: scripts/loom.sh [--help] [arguments of the test program]

  scripts/loom.sh                  every model, in well under a minute once it is built
  scripts/loom.sh lease            the models with "lease" in their name

The crate is built anew, into target/loom, with the model checker's atomics and locks in the place of the
standard ones; the ordinary build is not touched. What is checked: crates/keygate-core/tests/loom.rs.

Exits with 0 if no order breaks a promise.
TEXT
}

main() {
    case ${1-} in
        -h | --help)
            usage
            return
            ;;
    esac
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    command -v cargo >/dev/null || {
        printf '%s\n' "loom.sh: cargo was not found: install Rust first" >&2
        exit 1
    }
    RUSTFLAGS="${RUSTFLAGS-} --cfg keygate_loom" CARGO_TARGET_DIR=target/loom \
        cargo test --locked -p keygate-core --test loom --release -- "$@"
}

main "$@"
