#!/bin/sh
# Installs or upgrades Headgate from the folder of wheels that this script lies in; needs no network.
#
#   sudo ./install.sh [--dry-run] [--extras fast,opcua,ble] ...      as `headgate install`
#
#   PYTHON=python3.11    the interpreter to install for (3.11 or newer)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    echo "Headgate needs Python 3.11 or newer; name one: PYTHON=/path/to/python3.11 $0" >&2
    echo "Headgate 需要 Python 3.11 或更高版本，请指定：PYTHON=/路径/python3.11 $0" >&2
    exit 1
}
first=$(mktemp -d)
trap 'rm -rf "$first"' EXIT
# The installer is Headgate itself, so a small copy goes first and leaves again.
"$python" -m venv "$first/venv"
"$first/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index \
    --find-links "$here" headgate
"$first/venv/bin/headgate" install --from "$here" "$@"
