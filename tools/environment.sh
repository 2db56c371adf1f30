#!/bin/sh
# Makes .venv and installs the package into it, editable; does nothing when that is already done.
#
#   tools/environment.sh EXTRA      EXTRA is core (no extra), compression, dev or docs
#
# PYTHON is the interpreter to make .venv with (default python3). PYTHON_GIVEN, set by the Makefile
# when the caller named an interpreter, rebuilds a .venv that was made with another version.
#
# What is done is written in .venv/quincunx-*.done only after it has succeeded, so that an
# interrupted run is taken up again. Each holds the versions and checksums it was made from, and the
# path of the repository: neither a virtual environment nor an editable install survives a move.
set -eu

extra=${1:?usage: tools/environment.sh core|compression|dev|docs}
PYTHON=${PYTHON:-python3}
cd "$(dirname "$0")/.."
venv=.venv
python=$venv/bin/python
another="To use another Python: make ${GOAL:-test} PYTHON=python3.12"

fail() {
    printf '\n' >&2
    printf '%s\n' "$@" >&2
    exit 1
}

version_of() { # the version of an interpreter as "3.11", nothing if it does not run
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

check_python() {
    found=$(version_of "$PYTHON")
    advice="Python 3.11 or newer is needed. $another"
    [ -n "$found" ] || fail "'$PYTHON' was not found, or does not run." "$advice"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "'$PYTHON' is Python $found, which is too old." "$advice"
}

made_venv() { # true if .venv is whole, lies where it was made, and is of the version asked for
    [ -f "$venv/quincunx-venv.done" ] || return 1
    has=$(version_of "$python")
    [ "$(cat "$venv/quincunx-venv.done")" = "$has $PWD" ] || return 1
    [ -z "${PYTHON_GIVEN:-}" ] || [ "$(version_of "$PYTHON")" = "$has" ]
}

make_venv() {
    check_python
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "'$PYTHON' (Python $found) cannot make $venv: it lacks venv or ensurepip." \
            "Install it, on Debian and Ubuntu: apt-get install python3-venv" \
            "$another"
    if [ -e "$venv" ] && [ ! -e "$venv/quincunx-venv.begun" ]; then
        fail "There is a $venv that this command did not make, so it is left alone." \
            "Move it away, or remove it with: make clean"
    fi
    echo "Making $venv with Python $found"
    rm -rf "$venv"
    mkdir "$venv"
    touch "$venv/quincunx-venv.begun"
    "$PYTHON" -m venv "$venv" || fail "'$PYTHON -m venv $venv' failed: its message is above."
    echo "$found $PWD" >"$venv/quincunx-venv.done"
}

install() {
    target=.
    [ "$extra" = core ] || target=".[$extra]"
    echo "Installing $target into $venv (a few minutes the first time)"
    "$python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e "$target" ||
        fail "Installing '$target' failed: pip's message is above. The same command tries again."
}

# Given an interpreter that does not serve, say so even when .venv could do without it.
[ -z "${PYTHON_GIVEN:-}" ] || check_python
made_venv || make_venv
wanted="$PWD $(cksum pyproject.toml constraints.txt)"
done_file=$venv/quincunx-$extra.done
if [ ! -f "$done_file" ] || [ "$(cat "$done_file")" != "$wanted" ]; then
    install
    # Every extra brings the core with it.
    printf '%s\n' "$wanted" | tee "$done_file" >"$venv/quincunx-core.done"
fi
