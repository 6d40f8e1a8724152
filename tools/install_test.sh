#!/usr/bin/env bash
# Installs this tree for real, from wheels and without an index, below a temporary root; upgrades it, breaks
# an upgrade, takes it off. What `make install-test` runs: half a minute, so not part of `make test`.
set -euo pipefail
cd "${BASH_SOURCE[0]%/*}/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wheels=$work/wheels root=$work/root
fail() { echo "install-test: $*" >&2; exit 1; }
export HEADGATE_LANG=en

.venv/bin/python -m pip wheel --disable-pip-version-check -q -w "$wheels" -c requirements/run.txt '.[fast]' \
    >"$work/log" 2>&1 || { grep -E '^ *ERROR:' "$work/log" | sed -E 's#[a-z]+://[^ ]+#(index)#g'; fail "no wheels"; }
cp packaging/install.sh "$wheels/"
mkdir "$root"

echo "-- install"
env -u PYTHONPATH "$wheels/install.sh" --root "$root"
headgate() { "$root/opt/headgate/current/bin/python" -c 'from headgate.cli import main; main()' "$@"; }
headgate init "$root/etc/headgate.new" --gateway install-test --example >/dev/null
cp -r "$root/etc/headgate.new/." "$root/etc/headgate/"
headgate check "$root/etc/headgate" >/dev/null || fail "the installed version does not check its own example"
grep -rlF "$root" "$root/opt/headgate/current/bin" && fail "a script names the staging root"
grep -qx '#!/opt/headgate/versions/.*/bin/python[0-9.]*' "$root/opt/headgate/current/bin/headgate" \
    || fail "the command does not name its final interpreter"
echo kept >"$root/var/lib/headgate/state.db"
first=$(readlink "$root/opt/headgate/current")

echo "-- upgrade in place"
.venv/bin/headgate install --from "$wheels" --root "$root"
second=$(readlink "$root/opt/headgate/current")
[ "$first" != "$second" ] || fail "the upgrade did not take over"
[ "$(cat "$root/var/lib/headgate/state.db")" = kept ] || fail "the upgrade touched the state"

echo "-- an upgrade that cannot start is taken back"
mkdir "$work/broken"
cp "$wheels"/*.whl "$work/broken/"
(cd "$work" && mkdir bad && cd bad && ../root/opt/headgate/current/bin/python -m zipfile -e ../broken/headgate-*.whl . \
    && echo 'raise SystemExit("broken")' >headgate/cli/__init__.py \
    && wheel=$(echo ../broken/headgate-*.whl) && rm "$wheel" \
    && ../root/opt/headgate/current/bin/python -m zipfile -c "$wheel" headgate headgate_* headgate-*.dist-info \
    || fail "could not make a broken wheel")
if .venv/bin/headgate install --from "$work/broken" --root "$root" 2>"$work/said"; then fail "a broken version was installed"; fi
grep -q HG-9254 "$work/said" || fail "refused for another reason: $(cat "$work/said")"
[ "$(readlink "$root/opt/headgate/current")" = "$second" ] || fail "the broken version is in use"
headgate check "$root/etc/headgate" >/dev/null || fail "the version before does not work any more"
sed 's/^/   /' "$work/said"

echo "-- take it off"
.venv/bin/headgate uninstall --root "$root"
[ -f "$root/etc/headgate/site.toml" ] && [ -f "$root/var/lib/headgate/state.db" ] || fail "site or state is gone"
[ -e "$root/opt/headgate" ] && fail "something is left in the prefix"
[ -e "$root/etc/systemd/system/headgate.service" ] && fail "the unit is left"
echo "install-test: passed"
