#!/usr/bin/env bash
# Makes .venv when it is missing and brings it up to date; says nothing and ends at once when it is.
#
#   tools/venv.sh demo|test|check|docs|fuzz        what the environment is for
#
#   PYTHON=...      the interpreter to build it with (3.11 or newer; default: the newest one found)
#   WHEELHOUSE=dir  install from this folder alone, without a network (`make wheelhouse` fills one)
set -euo pipefail
cd "${BASH_SOURCE[0]%/*}/.."

purpose=${1:?demo, test, check, docs or fuzz}
venv=.venv
log=$venv/install.log

good() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        if good "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    local found
    found=$("${PYTHON:-python3}" --version 2>/dev/null) || found="not there"
    echo "Headgate needs Python 3.11 or newer; ${PYTHON:-python3} is $found." >&2
    echo "Install one (Debian 12 and later: apt install python3 python3-venv), or name it:" \
         "make $purpose PYTHON=/path/to/python3.12" >&2
    return 1
}

# A virtual environment does not survive being moved or copied: its commands name their interpreter.
works() { good $venv/bin/python && grep -qsF "$(pwd -P)/$venv/bin/" $venv/bin/pip; }

# One that works is used as it is, whoever made it; one that does not is made again.
if ! works; then
    python=$(find_python)
    [ -e $venv ] && echo "$venv does not work here (moved, or its Python is gone or too old); making it again"
    rm -rf $venv
    echo "making $venv with $("$python" --version)"
    "$python" -m venv $venv || {
        echo "could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2
        exit 1
    }
fi

case $purpose in
    demo) wants=() ;;
    test) wants=(-r requirements/test.txt) ;;
    check) wants=(-r requirements/test.txt -r requirements/check.txt) ;;
    docs) wants=(-r requirements/docs.txt) ;;
    fuzz)
        wants=(-r requirements/test.txt)
        # Where there is no wheel of it, the command itself says so.
        $venv/bin/python -c 'import sys, platform
sys.exit(sys.version_info >= (3, 14) or platform.machine() != "x86_64" or sys.platform != "linux")' &&
            wants+=(-r requirements/fuzz.txt)
        ;;
    *) echo "tools/venv.sh: no such purpose: $purpose" >&2; exit 2 ;;
esac

# One stamp per purpose, inside the environment, named for everything that decides what is installed.
stamp=$venv/headgate-$purpose-$(
    cat pyproject.toml requirements/*.txt | $venv/bin/python -c '
import sys, zlib
print(f"{zlib.crc32(sys.stdin.buffer.read()):08x}")'
)
[ -e "$stamp" ] && exit 0

source=()
# Versions are those last tested; a wheelhouse is its own choice of versions.
if [ -n "${WHEELHOUSE:-}" ]; then
    [ -d "$WHEELHOUSE" ] || { echo "WHEELHOUSE=$WHEELHOUSE is not a folder" >&2; exit 1; }
    source=(--no-index --find-links "$WHEELHOUSE")
else
    source=(-c requirements/run.txt)
fi

echo "installing what \`make $purpose\` needs into $venv${WHEELHOUSE:+ from $WHEELHOUSE} (once)"
if ! $venv/bin/python -m pip install --disable-pip-version-check --no-input -q \
        "${source[@]}" -e '.[all]' ${wants[@]+"${wants[@]}"} >"$log" 2>&1; then
    # pip's own words help, the address of whatever index this machine uses is nobody's business.
    grep -E '^ *(ERROR|error):' "$log" | sed -E 's#[a-z]+://[^ ]+#(index)#g' >&2 || true
    echo "could not install; the whole story is in $log" >&2
    echo "Without a network: make wheelhouse on a machine that has one, then WHEELHOUSE=dir here." >&2
    exit 1
fi
rm -f $venv/headgate-"$purpose"-*
touch "$stamp"
