#!/bin/bash
# Runs tests with nextest where it is installed and with cargo test elsewhere; the arguments go to
# either. The last line of the output is the runner's count.
set -euo pipefail

CARGO=${CARGO:-cargo}

if command -v cargo-nextest >/dev/null 2>&1; then
    exec "$CARGO" nextest run --locked --no-fail-fast "$@"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
"$CARGO" test --locked --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?
# "test result: ok. 12 passed; 0 failed; 0 ignored; ..." comes once for each test binary.
awk -v status="$status" '
    /^test result:/ { passed += $4; failed += $6; ignored += $8 }
    END {
        if (status != 0 && failed == 0) print "the tests did not run to their end"
        printf "%d passed, %d failed, %d ignored\n", passed, failed, ignored
    }' "$log"
exit "$status"
