#!/bin/bash
# Fuzzes every decoder, FUZZ_SECONDS each (60), beginning with the golden bytes. `fuzz/run.sh call
# join` takes those targets only. A crash leaves its input in fuzz/artifacts/<target>/ and ends
# the run with a status.
set -euo pipefail
cd "$(dirname "$0")"

FUZZ_SECONDS=${FUZZ_SECONDS:-60}
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
# The sanitizer's flags are unstable, its runtime comes with the stable compiler.
export RUSTC_BOOTSTRAP=1

if ! command -v cargo-fuzz >/dev/null; then
    echo "fuzz: building cargo-fuzz (under a minute)" >&2
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 cargo install --quiet --locked cargo-fuzz
fi

../scripts/setup.sh build fuzz

PROTOCOL=../protocol/tests/it/snapshots/it__golden__
CORE=../controlplane/core/tests/snapshots/golden__

# Golden bytes of a snapshot file, one file for each line that `pattern` picks.
seed() {
    local target=$1 snapshot=$2 pattern=$3
    mkdir -p "corpus/$target"
    perl -ne '
        BEGIN { ($dir, $pattern) = splice(@ARGV, 0, 2) }
        next unless m{^($pattern)[^ ]*: ([0-9a-f]+)$};
        my ($name, $hex) = (m{^([^:]+): ([0-9a-f]+)$});
        $name =~ tr{/}{-};
        open(my $out, ">", "$dir/golden-$name") or die "$dir: $!";
        print $out pack("H*", $hex);
    ' "corpus/$target" "$pattern" "$snapshot.snap"
}

seed frames "${PROTOCOL}envelopes" frame
seed hello "${PROTOCOL}hello" '(hello|answer|update)/'
seed join "${PROTOCOL}join" '(request|answer)/'
seed agent "${PROTOCOL}agent" '(from-agent|to-agent)/'
seed member "${PROTOCOL}member" from-member/
seed call "${PROTOCOL}call" '(request|response)/'
seed telemetry "${PROTOCOL}telemetry" metrics/
seed record "${PROTOCOL}envelopes" record
seed record "${PROTOCOL}agent" desired/
seed manifest "${PROTOCOL}manifest" bytes
seed command "${CORE}an_entry_of_the_log_has_not_changed" '(plain|once|version-2)'
mkdir -p corpus/join_token corpus/snapshot corpus/page_token
grep -ho 'novacron1\..*' ../protocol/tests/it/snapshots/it__golden__join_token.snap |
    while read -r text; do printf %s "$text" >"corpus/join_token/golden-${#text}"; done

# Small streams, signatures and batches of samples, behind the byte that says which.
mkdir -p corpus/hde
printf '\0\1\0\1\5\0\0\0hello\0\5\0\0\0\0\0\0\0' >corpus/hde/raw
printf '\1\1\1\2\0\4\0\0\7\0\0\4\0\0\0\0\0\0' >corpus/hde/fill
printf '\0\1\0\5\4\0\0\0\1\0\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0' >corpus/hde/copy
printf '\3\0\0\0\0' >corpus/hde/samples

mapfile -t targets < <([ $# -gt 0 ] && printf '%s\n' "$@" || cargo fuzz list --fuzz-dir .)
cargo fuzz build --fuzz-dir . >&2

failed=()
for target in "${targets[@]}"; do
    log=$(mktemp)
    echo "fuzz: $target for $FUZZ_SECONDS s"
    if cargo fuzz run --fuzz-dir . "$target" -- \
        -max_total_time="$FUZZ_SECONDS" -rss_limit_mb=2048 -timeout=10 -max_len=65536 \
        -print_final_stats=1 >"$log" 2>&1; then
        awk '/^stat::number_of_executed_units/ { runs = $2 } /cov: / { cov = $4 }
            END { printf "      %d inputs, %s edges, no crash\n", runs, cov }' "$log"
    else
        failed+=("$target")
        tail -40 "$log"
    fi
    rm -f "$log"
done

if [ ${#failed[@]} -gt 0 ]; then
    echo "fuzz: FAILED: ${failed[*]}" >&2
    exit 1
fi
echo "fuzz: ${#targets[@]} targets, $FUZZ_SECONDS s each, no crash"
