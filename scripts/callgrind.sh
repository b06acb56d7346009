#!/usr/bin/env bash
# Counts the instructions of one check. See --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Counts the instructions of checking one key, of refusing a forged one, and of what both are made of.

usage: scripts/callgrind.sh [--help] [--profile WHAT] [WHAT...]

  scripts/callgrind.sh                  everything
  scripts/callgrind.sh hit forged       these alone
  scripts/callgrind.sh --profile hit    the functions that the instructions of a check are in

WHAT is one of:
  hit        a key that is kept, all checks on        parse      its text is read
  forged     a key of the right form, another tag     digest     HMAC-SHA-256 of its text
  malformed  a text that is no key                    get        it is found in a quick_cache
  layer      a request through the layer              clocks     both clocks are read
  request    the same request without the layer       limited    one of a key with limits

A thing is done some times and ten times as often, and the difference of both runs is divided. Valgrind knows no
SHA instructions, so each hash is counted as it is computed without them: some 3,400 instructions for a block, of which
a digest has three, where a processor that has them needs a tenth. Subtract `digest` to see all the rest.

valgrind is installed from the system's packages if it is missing.
TEXT
}

say() { printf '%s\n' "callgrind.sh: $*"; }

fail() {
    printf '%s\n' "callgrind.sh: $*" >&2
    exit 1
}

profile=false
case ${1:-} in
--help | -h)
    usage
    exit 0
    ;;
--profile)
    profile=true
    shift
    ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v valgrind >/dev/null; then
    say "installing valgrind"
    if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -qq -y valgrind >/dev/null
    else
        fail "valgrind is missing: install it from the system's packages, then run scripts/callgrind.sh again"
    fi
fi

say "building"
program=$(cargo build --quiet --locked --profile bench --bench load --message-format json |
    sed -n 's/.*"executable":"\([^"]*load-[^"]*\)".*/\1/p' | tail -n 1)
[[ -x $program ]] || fail "the bench \`load\` was not built"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# counted WHAT COUNT: the instructions of a whole run.
counted() {
    valgrind --tool=callgrind --callgrind-out-file="$scratch/$1.$2" "$program" instructions --of "$1" --count "$2" \
        >"$scratch/output" 2>&1 || fail "$(tail -n 5 "$scratch/output")"
    sed -n 's/^==[0-9]*== Collected : \([0-9]*\)$/\1/p' "$scratch/output"
}

if $profile; then
    what=${1:-hit}
    counted "$what" 20000 >/dev/null
    callgrind_annotate "$scratch/$what.20000" | sed -n '/file:function/,$p' | head -n 40
    exit 0
fi

readonly few=1000 many=10000
targets=("$@")
if ((${#targets[@]} == 0)); then
    targets=(hit forged malformed digest parse get clocks layer limited request)
fi
printf '%-12s %14s\n' what instructions
for what in "${targets[@]}"; do
    base=$(counted "$what" "$few")
    all=$(counted "$what" "$many")
    printf '%-12s %14d\n' "$what" "$(((all - base) / (many - few)))"
done
