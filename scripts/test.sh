#!/usr/bin/env bash
# The one test command. See --help.
set -euo pipefail

readonly OLDEST_REDIS=6.2

usage() {
    cat <<'TEXT'
Runs every test of the workspace.

usage: scripts/test.sh [--help] [arguments of cargo test]

  scripts/test.sh                                       every test of every package
  scripts/test.sh revoked                               the tests with "revoked" in their name
  scripts/test.sh --test it contract:: -- --nocapture   those in the files tests/it/contract.rs, with their output

What is missing is installed first: redis-server (6.2 or newer) and nginx, from the system's packages. The
tests start the servers they need on free ports of 127.0.0.1 and stop them again; a Redis or an nginx that
is already running on this machine is left alone.

Exits with 0 if every test passed.
TEXT
}

say() { printf '%s\n' "test.sh: $*"; }

fail() {
    printf '%s\n' "test.sh: $*" >&2
    exit 1
}

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "installing needs root: run '$*' as root, then scripts/test.sh again"
    fi
}

# Debian's and Ubuntu's packages start a server of their own, which the tests have no use for.
stop_packaged_server() {
    if [[ -d /run/systemd/system ]]; then
        as_root systemctl disable --now "$1" >/dev/null 2>&1 || true
    elif [[ -x /etc/init.d/$1 ]]; then
        as_root "/etc/init.d/$1" stop >/dev/null 2>&1 || true
    fi
}

apt_install() {
    as_root apt-get update -q || say "not every package list could be renewed; trying with what there is"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$1" &&
        stop_packaged_server "$1"
}

install_redis() {
    say "redis-server was not found; installing it from the system's packages"
    if command -v apt-get >/dev/null; then
        apt_install redis-server
    elif command -v dnf >/dev/null; then
        # Newer Fedora has Valkey in its place, with a package that gives it the old names.
        as_root dnf install -y redis || as_root dnf install -y valkey valkey-compat-redis
    elif command -v apk >/dev/null; then
        as_root apk add redis
    elif command -v brew >/dev/null; then
        brew install redis
    else
        say "there is no apt-get, dnf, apk or brew to install it with" >&2
        return 1
    fi
}

check_redis() {
    if ! command -v redis-server >/dev/null; then
        install_redis || true
        hash -r
        command -v redis-server >/dev/null ||
            fail "redis-server could not be installed: install version $OLDEST_REDIS or newer by hand, then run scripts/test.sh again"
    fi
    local version
    version=$(redis-server --version)
    if [[ ! $version =~ v=([0-9]+)\.([0-9]+) ]]; then
        fail "redis-server does not tell its version: $version"
    elif ((BASH_REMATCH[1] * 1000 + BASH_REMATCH[2] < ${OLDEST_REDIS%.*} * 1000 + ${OLDEST_REDIS#*.})); then
        fail "redis-server is too old, $OLDEST_REDIS or newer is needed: $version"
    fi
}

# Administrators' programs are not on everybody's path.
has_nginx() {
    command -v nginx >/dev/null || [[ -x /usr/sbin/nginx || -x /usr/local/sbin/nginx ]]
}

install_nginx() {
    say "nginx was not found; installing it from the system's packages"
    if command -v apt-get >/dev/null; then
        apt_install nginx
    elif command -v dnf >/dev/null; then
        as_root dnf install -y nginx
    elif command -v apk >/dev/null; then
        as_root apk add nginx
    elif command -v brew >/dev/null; then
        brew install nginx
    else
        say "there is no apt-get, dnf, apk or brew to install it with" >&2
        return 1
    fi
}

check_nginx() {
    has_nginx && return
    install_nginx || true
    hash -r
    has_nginx || fail "nginx could not be installed: install it by hand, then run scripts/test.sh again"
}

main() {
    # Only before a "--": what follows it is for the test programs.
    local argument
    for argument in "$@"; do
        case $argument in
            --) break ;;
            -h | --help)
                usage
                return
                ;;
        esac
    done
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    command -v cargo >/dev/null || fail "cargo was not found: install Rust first"
    check_redis
    check_nginx
    say "cargo test --workspace --all-features --locked $*"
    if cargo test --workspace --all-features --locked "$@"; then
        say "every test passed"
    else
        fail "there are failures: see above"
    fi
}

main "$@"
