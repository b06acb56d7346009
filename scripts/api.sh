#!/usr/bin/env bash
# The management API as outsiders meet it. See --help.
set -euo pipefail

readonly EXAMPLES=${KEYGATE_API_EXAMPLES:-100}

usage() {
    cat <<'TEXT'
Starts a server and tries its API from the document it serves.

usage: scripts/api.sh [--help]

  1. schemathesis makes requests of every kind that the document allows, and many that it does not: no
     answer may be a 5xx, or one that the document does not describe.
  2. A Python client is generated from the document; with it a key is made, verified, changed and revoked.

What is missing is installed first: Python's venv, from the system's packages; the two tools, from PyPI, in
target/api. KEYGATE_API_EXAMPLES is how many requests are made of each call and kind [default: 100].
TEXT
}

say() { printf '%s\n' "api.sh: $*"; }

fail() {
    printf '%s\n' "api.sh: $*" >&2
    exit 1
}

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "installing python3-venv needs root: run '$*' as root, then scripts/api.sh again"
    fi
}

install_tools() {
    local venv=$1
    # A folder that was moved, or made by another Python, has the tools and cannot run them.
    if cmp -s "$venv/installed" scripts/api/requirements.txt && "$venv/bin/st" --version >/dev/null 2>&1; then
        return
    fi
    if ! python3 -m venv --clear "$venv" >/dev/null 2>&1; then
        say "Python's venv was not found; installing it from the system's packages"
        command -v apt-get >/dev/null || fail "install Python 3 with venv by hand, then run scripts/api.sh again"
        as_root apt-get update -q || true
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3-venv
        python3 -m venv --clear "$venv"
    fi
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r scripts/api/requirements.txt
    cp scripts/api/requirements.txt "$venv/installed"
}

server=
work=
clean_up() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    [[ -z $work ]] || rm -rf "$work"
}

# Starts a server on a free port and prints its address once it listens.
start() {
    local log=$1
    KEYGATE_STORE="file:$work/keygate.redb" KEYGATE_OPERATOR_KEY_FILE="$work/operator.key" KEYGATE_LISTEN=127.0.0.1:0 \
        KEYGATE_LOG=warn "$CARGO_TARGET_DIR/debug/keygate" serve >"$log" 2>"$work/errors" &
    server=$!
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        if grep -q '^listening on ' "$log"; then
            return
        fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    cat "$log" "$work/errors" >&2
    fail "the server did not start"
}

main() {
    if [[ ${1:-} == --help || ${1:-} == -h ]]; then
        usage
        return
    fi
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    command -v python3 >/dev/null || fail "python3 was not found: install it first"
    local venv=$PWD/target/api
    install_tools "$venv"
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
    cargo build --quiet --locked -p keygate-cli --target-dir "$CARGO_TARGET_DIR"
    work=$(mktemp -d)
    trap clean_up EXIT
    start "$work/output"
    local address
    address=$(sed -n 's/^listening on //p' "$work/output")
    KEYGATE_ADMIN_KEY=$(<"$work/operator.key")
    export KEYGATE_ADMIN_KEY
    say "a server is at $address"

    # What a document cannot say (a time to come, a field that goes without another) is refused with 422, so valid by the
    # document is not yet accepted: that one check is left out.
    cp scripts/api/schemathesis.toml "$work"
    # It makes no NDJSON, which an import is.
    (cd "$work" && "$venv/bin/st" --config-file schemathesis.toml run "$address/openapi.json" --url "$address" \
        --exclude-operation-id importKeys \
        --exclude-checks positive_data_acceptance --max-examples "$EXAMPLES" --seed 1 --no-color) || fail "schemathesis found something: see above"

    "$venv/bin/openapi-python-client" generate --url "$address/openapi.json" --meta none \
        --output-path "$work/generated" >"$work/generating" 2>&1 || { cat "$work/generating" >&2; fail "no client could be generated"; }
    PYTHONPATH=$work "$venv/bin/python" scripts/api/outsider.py "$address" || fail "the generated client failed"

    [[ ! -s $work/errors ]] || ! grep -E 'ERROR|panicked' "$work/errors" || fail "the server complained"
    kill -TERM "$server"
    wait "$server" || fail "the server did not end well"
    server=
    say "passed"
}

main "$@"
