#!/bin/bash
# Proves the example configurations against the programs that read them: as they are shipped, with
# every commented key in force, and that no key of the source is left unexplained.
set -euo pipefail
cd "$(dirname "$0")/.."

BIN=${NOVACRON_BIN_DIR:-target/debug}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

die() {
    echo "check-config: $*" >&2
    exit 1
}

# The keys of the structs that a source file reads its configuration into.
keys_of() {
    awk '/^pub struct .*\{/ { inside = /Config|Reserve/ } /^}/ { inside = 0 }
        inside && match($0, /^    (pub )?[a-z_]+:/) {
            key = $0; sub(/^    (pub )?/, "", key); sub(/:.*/, "", key); print key
        }' "$1"
}

# check PROGRAM SOURCE [VARIABLE=VALUE ...]: the variables are what an operator must add.
check() {
    local program=$1 source=$2 example=packaging/${1#novacron-}.toml
    shift 2
    sed 's/^#\([a-z_]* = \)/\1/' "$example" >"$scratch/$program.toml"
    "$BIN/$program" config check --config "$scratch/$program.toml" >/dev/null ||
        die "$example is refused with its commented keys in force"
    env "$@" "$BIN/$program" config check --config "$example" >/dev/null ||
        die "$example is refused as it is shipped"
    for key in $(keys_of "$source"); do
        grep -qE "^(#?$key = |\[$key\])" "$example" || die "$example does not explain \`$key\`"
    done
    echo "$example: $(keys_of "$source" | wc -l) keys, all explained and accepted"
}

check novacron-controlplane controlplane/src/config.rs \
    NOVACRON_ADVERTISE=192.0.2.11:7410 NOVACRON_API_ADVERTISE=192.0.2.11:7411
check novacron-agent agent/src/config.rs
