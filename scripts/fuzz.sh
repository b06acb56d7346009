#!/usr/bin/env bash
# Fuzzes every target of fuzz/ for a while. See --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Feeds made-up input to what reads input from outside: the text of a key, stored records, and headers.

usage: scripts/fuzz.sh [--help] [seconds [target...]]

  scripts/fuzz.sh                    every target for 60 seconds
  scripts/fuzz.sh 600 stored_record  one target for ten minutes

What is found out is kept in fuzz/corpus and used the next time. When an input breaks a promise the
script says where it is (fuzz/artifacts) and how to run it again.

cargo-fuzz is installed if it is missing. A nightly Rust is not needed.

Exits with 0 if no target broke.
TEXT
}

say() { printf '%s\n' "fuzz.sh: $*"; }

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    usage
    exit 0
fi
seconds=${1:-60}
shift || true
if ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then
    usage >&2
    exit 2
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! cargo fuzz --version >/dev/null 2>&1; then
    say "installing cargo-fuzz"
    cargo install cargo-fuzz --locked
fi

# The flags of the fuzzer are for nightly compilers; the stable one takes them when it is told so.
export RUSTC_BOOTSTRAP=1
# The code is safe Rust throughout, which leaves the address sanitizer nothing to find, and it costs half the speed.
readonly sanitizer=none

targets=("$@")
if ((${#targets[@]} == 0)); then
    listed=$(cargo fuzz list)
    mapfile -t targets <<<"$listed"
fi

broken=()
for target in "${targets[@]}"; do
    corpus=fuzz/corpus/$target artifacts=fuzz/artifacts/$target
    mkdir -p "$corpus" "$artifacts"
    say "building $target"
    cargo fuzz build --sanitizer "$sanitizer" "$target"
    say "running $target for $seconds s"
    if ! cargo fuzz run --sanitizer "$sanitizer" "$target" "$corpus" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$artifacts/" -verbosity=0 -print_final_stats=1 2>&1 | sed '/# Uses: /d; /^stat::peak/d'; then
        broken+=("$target")
    fi
done

if ((${#broken[@]})); then
    say "broken: ${broken[*]}" >&2
    for target in "${broken[@]}"; do
        # The newest input is the one that was just found.
        input=$(find "fuzz/artifacts/$target" -type f -printf '%T@ %p\n' | sort -rn | head -n 1 | cut -d' ' -f2-)
        say "$target: ${input:-no input was kept}" >&2
        say "  again: RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer $sanitizer $target ${input:-}" >&2
    done
    exit 1
fi
say "no target broke"
