#!/bin/bash
# Tries what a newcomer does: `make demo ONCE=1` and `make test`, unattended, in a Debian 12 that has
# git, curl, a compiler and a Rust toolchain, and nothing else.
#
#   scripts/fresh-system.sh [REVISION]     HEAD by default; what is not committed is not there
#
# Needs root, debootstrap and systemd-nspawn. The system shares this machine's network, and gets
# CAP_NET_ADMIN for the lab's namespaces. Its Rust toolchain is this machine's, read only. The base
# system is kept in target/fresh/base, the log in target/fresh/log. Fails when the demo takes longer
# than DEMO_SECONDS after the build.
set -euo pipefail
cd "$(dirname "$0")/.."

REVISION=$(git rev-parse --verify "${1:-HEAD}^{commit}")
DEMO_SECONDS=${DEMO_SECONDS:-180}
DIR=$PWD/target/fresh
BASE=$DIR/base
PACKAGES=git,curl,ca-certificates,build-essential

say() { echo "fresh: $*"; }
die() { say "$*" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] || die "needs root"
for tool in debootstrap systemd-nspawn; do
    command -v $tool >/dev/null || die "$tool is missing (Debian: debootstrap, systemd-container)"
done

mkdir -p "$DIR"
if [ ! -d "$BASE" ]; then
    say "making the base system (two minutes, once)"
    rm -rf "$BASE.new"
    debootstrap --variant=minbase --include="$PACKAGES" bookworm "$BASE.new" >"$DIR/base.log" 2>&1 ||
        { tail -20 "$DIR/base.log" >&2; die "no base system"; }
    mv "$BASE.new" "$BASE"
fi

root=$(mktemp -d "$DIR/run.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
cp -a --reflink=auto "$BASE/." "$root"
git clone --quiet --no-hardlinks --no-checkout . "$root/novacron"
git -C "$root/novacron" checkout --quiet --detach "$REVISION"

# What this machine needs to reach the registries, its clone needs too.
mkdir -p "$root/opt/rust" "$root/root/.cargo"
cargo_config=${CARGO_HOME:-$HOME/.cargo}/config.toml
[ ! -e "$cargo_config" ] || cp "$cargo_config" "$root/root/.cargo/"
cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/" 2>/dev/null || true

cat >"$root/newcomer.sh" <<'NEWCOMER'
set -euo pipefail
update-ca-certificates >/dev/null 2>&1
cd /novacron
echo "step: make demo ONCE=1"
make demo ONCE=1
echo "step: make test"
make test
echo "step: the end"
NEWCOMER

# Each line with the seconds since the start.
stamp() { while IFS= read -r line; do printf '%5d  %s\n' $SECONDS "$line"; done; }
say "trying $REVISION; all of it in $DIR/log"
SECONDS=0
status=0
systemd-nspawn --quiet --directory="$root" --as-pid2 --register=no --keep-unit --pipe \
    --capability=CAP_NET_ADMIN --resolv-conf=copy-host --bind-ro="$(rustc --print sysroot):/opt/rust" \
    --setenv=HOME=/root --setenv=PATH=/opt/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /bin/bash /newcomer.sh </dev/null 2>&1 | stamp >"$DIR/log" || status=$?

# The demo begins where cargo says that it is built, and ends where the tests begin.
demo_seconds=$(awk '
    /step: make test/ { end = $1 }
    /Finished/ && !end && !start { start = $1 }
    END { if (end) print end - start }' "$DIR/log")
[ -n "$demo_seconds" ] || { tail -40 "$DIR/log" >&2; die "the demo FAILED"; }
say "the demo passed, $demo_seconds s after the build"
if [ "$status" -ne 0 ]; then
    grep -aE '^ *[0-9]+  (test .*FAILED|---- |error)' "$DIR/log" >&2 || tail -40 "$DIR/log" >&2
    die "the tests FAILED"
fi
grep -aE '^ *[0-9]+ +[0-9]+ passed, ' "$DIR/log" | tail -1 | sed 's/^ *[0-9]*  /fresh: /'
[ "$demo_seconds" -le "$DEMO_SECONDS" ] || die "the demo is too slow: $demo_seconds s, limit $DEMO_SECONDS s"
say "passed in $SECONDS s"
