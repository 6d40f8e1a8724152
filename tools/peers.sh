# Sourced by `make test`: brings the programs that the tests meet as peers, and says what is missing.
#
# Sets HEADGATE_PEERS=optional when one could not be had, so that its tests are skipped with a reason
# instead of failing. HEADGATE_PEERS=required keeps them failing; a build server wants that.

export PATH="$PATH:/usr/sbin"   # Debian keeps the broker where only root looks

peers_missing() {
    local missing=""
    for program in mosquitto openssl gcc dbus-daemon ser2net; do
        command -v $program >/dev/null || missing="$missing $program"
    done
    [ -e /usr/include/modbus/modbus.h ] || missing="$missing libmodbus-dev"
    echo "$missing"
}

# Debian's name of each, where it is not the program's own.
packages_of() { printf '%s\n' "$@" | sed 's/^dbus-daemon$/dbus/'; }

peers=$(peers_missing)
if [ -n "$peers" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing test peers with apt-get:$peers"
    { DEBIAN_FRONTEND=noninteractive apt-get update -q &&
      DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(packages_of $peers) libc6-dev
    } >.venv/peers.log 2>&1 || echo "apt-get could not (see .venv/peers.log)"
    # Debian starts the broker it installs; the tests bring their own, on ports of their own.
    peers=$(peers_missing)
fi

# A foreign meter and master of DL/T 645 (Apache-2.0); its tests are skipped without it.
.venv/bin/python -c 'import dlt645' 2>/dev/null ||
    .venv/bin/python -m pip install --quiet 'dlt645==3.2.0' 'loguru>=0.7' >.venv/dlt645.log 2>&1 ||
    peers="$peers dlt645(pip)"

npm_peers=tests/peers/node_modules
if [ -f tests/peers/package.json ] &&
   { [ ! -d $npm_peers/modbus-serial ] || [ ! -d $npm_peers/node-opcua-server ]; }; then
    if command -v npm >/dev/null; then
        echo "installing the test peers modbus-serial and node-opcua-server with npm"
        npm install --prefix tests/peers --no-audit --no-fund --no-package-lock \
            --loglevel=error >.venv/npm.log 2>&1 || peers="$peers modbus-serial(npm) node-opcua-server(npm)"
    else
        peers="$peers modbus-serial(npm) node-opcua-server(npm)"
    fi
fi

# Tongsuo, the SM fork of OpenSSL: published for one processor, so nobody else can be asked for it.
if [ "$(uname -sm)" = "Linux x86_64" ] && ! .venv/bin/python -c "import importlib.util, sys
sys.exit(importlib.util.find_spec('tongsuopy') is None)"; then
    echo "installing the test peer tongsuopy with pip"
    .venv/bin/python -m pip install --disable-pip-version-check --no-input -q --no-deps \
        --only-binary :all: ${WHEELHOUSE:+--no-index --find-links "$WHEELHOUSE"} tongsuopy==1.0.1 \
        >.venv/tongsuopy.log 2>&1 || peers="$peers tongsuopy(pip)"
fi

if [ -n "$peers" ]; then
    export HEADGATE_PEERS="${HEADGATE_PEERS:-optional}"
    echo "not on this machine:$peers. Tests that meet them are skipped, everything else runs."
    echo "To have them: apt-get install mosquitto openssl gcc dbus ser2net libmodbus-dev nodejs npm"
fi
