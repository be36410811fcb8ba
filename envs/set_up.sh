#!/bin/sh
# Create, repair or extend the Python environment of the Makefile's targets. Does nothing if it is up to date.
#
#   PYTHON=python3.12 sh envs/set_up.sh cpu|gpu|dev FOLDER [GOAL]
#
# FOLDER/installed.lock is a copy of the lock file that was installed last; contents are compared, not times.
# FOLDER/unfinished exists during an installation: if it is found at the start, an installation was killed, and the
# environment is created again. pip's configuration on this machine decides where packages come from.
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

version_of() { # PROGRAM [MODULE]: empty if it does not run, or does not have the module
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
        [ -n "$version" ] || found="$python does not run on this machine"
        stop "$found; cxrflow needs Python 3.11, 3.12 or 3.13: make $goal PYTHON=$other"
    fi
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        stop "$python has no venv or no ensurepip (Debian, Ubuntu: apt install python$version-venv); then: make $goal"
}

usable() { # is the environment complete, and of an allowed Python, the requested one if any?
    if [ -e "$venv/unfinished" ] || [ ! -x "$venv/bin/python" ]; then return 1; fi
    version=$(version_of "$venv/bin/python" pip)
    allowed "$version" || return 1
    [ -z "${PYTHON:-}" ] || [ "$version" = "$(version_of "$PYTHON")" ]
}

install() { # STAMP CONTENT PIP_ARGUMENTS…: copies CONTENT to STAMP after the installation
    stamp=$1 content=$2
    shift 2
    : >"$venv/unfinished"
    status=0
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input $quiet "$@" || status=$?
    # When pip fails, it restores what it found; when it is killed, it does not.
    [ $status -gt 128 ] || rm -f "$venv/unfinished"
    [ $status = 0 ] || stop "pip could not install into $venv (see its messages above); make $goal tries again"
    cp "$content" "$stamp"
}

quiet=--quiet
if [ -t 1 ]; then quiet=; fi

if ! usable; then
    check_python
    if [ -e "$venv" ]; then
        [ -e "$venv/pyvenv.cfg" ] || [ -e "$venv/unfinished" ] || stop "$venv is not a Python environment; move it away"
        echo "creating $venv again with Python $version"
        rm -rf "$venv"
    else
        echo "creating $venv with Python $version"
    fi
    mkdir -p "$venv"
    : >"$venv/unfinished"
    "$python" -m venv "$venv" || stop "$python -m venv $venv failed (see its messages above)"
    echo '*' >"$venv/.gitignore"
    rm -f "$venv/unfinished"
fi

# dev.lock contains all of cpu.lock, so that the environment of the tests is good for everything else too.
if ! cmp -s "$lock" "$venv/installed.lock" && { [ $kind != cpu ] || ! cmp -s envs/dev.lock "$venv/installed.lock"; }; then
    case $kind in gpu) how_long="3 GB: a few minutes" ;; *) how_long="a minute or two" ;; esac
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
