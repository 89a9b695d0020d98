#!/bin/bash
# Builds the three Debian packages into target/debian: novacron, novacron-agent,
# novacron-controlplane. PROFILE=dev takes what `make build` made, for trying the packaging.
set -euo pipefail
cd "$(dirname "$0")/.."

PROFILE=${PROFILE:-release}
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

if ! command -v cargo-deb >/dev/null; then
    echo "package: building cargo-deb (about a minute)" >&2
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=false \
        cargo install --quiet --locked cargo-deb
fi

cargo build --locked --profile "$PROFILE" \
    --package novacron-cli --package novacron-agent --package novacron-controlplane

dir=target/$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")
mkdir -p target/completions
"$dir/novacron" completions bash >target/completions/novacron
"$dir/novacron" completions zsh >target/completions/_novacron
"$dir/novacron" completions fish >target/completions/novacron.fish

rm -f target/debian/novacron*.deb
for package in novacron-cli novacron-agent novacron-controlplane; do
    cargo deb --quiet --no-build --strip --profile "$PROFILE" --package "$package" >/dev/null
done
ls -l target/debian/*.deb
