#!/bin/sh
# Make, mend or extend the Python environment that the Makefile's targets run in. Does nothing where nothing is to do.
#
#   PYTHON=python3.12 sh envs/set_up.sh cpu|gpu|dev FOLDER [GOAL]
#
# FOLDER/installed.lock is a copy of the lock file that was installed last: its content counts, not its time.
# FOLDER/unfinished is there while something is installed: where it is found, someone pulled the plug, and the
# environment is made anew. Where packages come from is for pip's own configuration on this machine to say.
set -eu

kind=$1 venv=$2 goal=${3:-demo}
python=${PYTHON:-python3}
lock=envs/$kind.lock
trap 'exit 130' INT
trap 'exit 143' TERM

stop() {
    echo "error: $1" >&2
    exit 1
}

version_of() { # PROGRAM [MODULE]: empty where it does not run, or does not have the module
    "$1" -c "import sys${2:+, $2}; print('%d.%d' % sys.version_info[:2])" 2>/dev/null || true
}

allowed() { # as requires-python of pyproject.toml
    case $1 in 3.11 | 3.12 | 3.13) true ;; *) false ;; esac
}

check_python() {
    version=$(version_of "$python")
    if ! allowed "$version"; then
        other=python3.12
        for candidate in python3.12 python3.13 python3.11; do
            if allowed "$(version_of $candidate)"; then
                other=$candidate
                break
            fi
        done
        found="$python is Python $version"
        [ -n "$version" ] || found="$python does not run here"
        stop "$found; cxrflow needs Python 3.11, 3.12 or 3.13: make $goal PYTHON=$other"
    fi
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        stop "$python has no venv or no ensurepip (Debian, Ubuntu: apt install python$version-venv); then: make $goal"
}

usable() { # is the environment whole, of an allowed Python, and of the one that was asked for?
    if [ -e "$venv/unfinished" ] || [ ! -x "$venv/bin/python" ]; then return 1; fi
    version=$(version_of "$venv/bin/python" pip)
    allowed "$version" || return 1
    [ -z "${PYTHON:-}" ] || [ "$version" = "$(version_of "$PYTHON")" ]
}

install() { # STAMP CONTENT PIP_ARGUMENTS…: CONTENT is copied to STAMP when all is installed
    stamp=$1 content=$2
    shift 2
    : >"$venv/unfinished"
    status=0
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input $quiet "$@" || status=$?
    # Where pip gives up by itself it has put back what it found; where it was killed it has not.
    [ $status -gt 128 ] || rm -f "$venv/unfinished"
    [ $status = 0 ] || stop "pip could not install into $venv (its messages are above); make $goal tries again"
    cp "$content" "$stamp"
}

quiet=--quiet
if [ -t 1 ]; then quiet=; fi

if ! usable; then
    check_python
    if [ -e "$venv" ]; then
        [ -e "$venv/pyvenv.cfg" ] || [ -e "$venv/unfinished" ] || stop "$venv is no Python environment; move it away"
        echo "making $venv anew with Python $version"
        rm -rf "$venv"
    else
        echo "making $venv with Python $version"
    fi
    mkdir -p "$venv"
    : >"$venv/unfinished"
    "$python" -m venv "$venv" || stop "$python -m venv $venv failed (its messages are above)"
    echo '*' >"$venv/.gitignore"
    rm -f "$venv/unfinished"
fi

# dev.lock holds all of cpu.lock, so that an environment made for the tests serves for the rest too.
if ! cmp -s "$lock" "$venv/installed.lock" && { [ $kind != cpu ] || ! cmp -s envs/dev.lock "$venv/installed.lock"; }; then
    case $kind in gpu) how_long="3 GB: some minutes" ;; *) how_long="a minute or two" ;; esac
    echo "installing the packages of $lock into $venv ($how_long)"
    install "$venv/installed.lock" "$lock" --require-hashes -r "$lock"
fi

{
    pwd -P
    cat pyproject.toml
} >"$venv/project"
if ! cmp -s "$venv/project" "$venv/installed.project"; then
    install "$venv/installed.project" "$venv/project" --no-index --no-deps --no-build-isolation -e .
fi
