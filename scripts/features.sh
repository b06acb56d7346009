#!/usr/bin/env bash
# Checks that each feature builds alone, and that the oldest supported Rust builds everything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "features.sh: $*"; }

alone() {
    local package=$1 feature
    shift
    for feature in "" "$@"; do
        say "$package with ${feature:-no feature}"
        cargo check --quiet --locked -p "$package" --no-default-features ${feature:+--features "$feature"}
    done
}

alone keygate admin tower axum tonic actix embedded redis redis-tls settings settings,webhooks webhooks metrics maxmind
alone keygate-http metrics maxmind
alone keygate-tower axum tonic
alone keygate-redis tls

# The tests have run on the Rust at hand; it has to be the one that is stated, or the stated one has to be here too.
stated=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
at_hand=$(rustc --version | sed -E 's/^rustc ([0-9]+\.[0-9]+).*/\1/')
if [[ $stated == "$at_hand" ]]; then
    say "the oldest supported Rust, $stated, is the one the tests ran on"
elif cargo "+$stated" --version >/dev/null 2>&1 || rustup toolchain install "$stated" --profile minimal --no-self-update; then
    say "checking with the oldest supported Rust, $stated"
    cargo "+$stated" check --quiet --locked --workspace --all-features
else
    say "Rust $stated is the oldest supported and could not be installed here; only $at_hand was tested" >&2
    exit 1
fi
