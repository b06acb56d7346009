#!/usr/bin/env bash
# How often a request asks Redis for its limits, as a plot. See --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
Measures how many round trips a request costs, over limits and numbers of instances, and plots it.

usage: scripts/plot_limits.sh [--help] [--from FILE]

Writes benches/round_trips.csv and benches/round_trips.svg. It takes some three minutes; with --from the plot is
made of the figures in that file. It needs redis-server, and Python 3 with venv; matplotlib is installed from
PyPI into target/plot.
TEXT
}

fail() {
    printf '%s\n' "plot_limits.sh: $*" >&2
    exit 1
}

figures=
while (($#)); do
    case $1 in
        -h | --help)
            usage
            exit
            ;;
        --from)
            figures=${2-}
            [[ -r $figures ]] || fail "--from needs a file of figures"
            shift 2
            ;;
        *) fail "unknown argument: $1; see --help" ;;
    esac
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=target/plot
if ! "$venv/bin/python" -c 'import matplotlib' 2>/dev/null; then
    python3 -m venv --clear "$venv" || fail "Python 3 with venv is needed: install it (python3-venv), then try again"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r scripts/plot/requirements.txt
fi
if [[ -z $figures ]]; then
    figures=benches/round_trips.csv
    cargo bench --bench load -- sweep >"$figures.new"
    mv "$figures.new" "$figures"
fi
"$venv/bin/python" scripts/plot/limits.py "$figures" benches/round_trips.svg
printf '%s\n' "plot_limits.sh: wrote benches/round_trips.svg"
