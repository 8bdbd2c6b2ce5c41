#!/bin/bash
# `make core-mutants`: cargo-mutants changes one thing after the other in the core, and the core's unit tests must notice.
#
# What is changed, and what need not be noticed and why, is in .cargo/mutants.toml. cargo-mutants works on a copy of the
# tree; the clone itself is left alone. A change that no test notices is a failure.
#
#   scripts/core-mutants.sh                                 all
#   scripts/core-mutants.sh ownership 'resource_type/rds'   those whose file or description matches one of these regexes
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Its own folder: the core alone, on optimised dependencies.
export CARGO_TARGET_DIR="$cache/core-mutants/target"
use_target_folder
# What earlier runs built of the core lay in other copies, and is never used again.
rm -rf "$CARGO_TARGET_DIR"/debug/incremental "$CARGO_TARGET_DIR"/debug/deps/*restore_proof_core*
use_tool cargo-mutants "$cargo_mutants_version"

some=()
for regex in "$@"; do
    some+=(--re "$regex")
done
status=0
# A test binary runs for seconds; ten times that on a busy machine means that it does not end.
nice -n 5 cargo mutants --package restore-proof-core --jobs 1 --timeout 60 --colors never --no-times \
    --output "$cache/core-mutants" "${some[@]}" || status=$?

results="$cache/core-mutants/mutants.out"
count() { wc -l <"$results/$1.txt"; }
# 2: something was missed; 3: some tests did not end. Anything else is no result.
case "$status" in
0 | 2 | 3) ;;
*) die "cargo-mutants ended with status $status; what it did is in $results" ;;
esac
caught="$(count caught)" missed="$(count missed)" unviable="$(count unviable)" timeouts="$(count timeout)"
printf '%s, cargo-mutants %s: mutants %s, caught %s, missed %s, unviable %s, timeouts %s, %s s\n' \
    "$(date -u +%F)" "$cargo_mutants_version" "$((caught + missed + unviable + timeouts))" \
    "$caught" "$missed" "$unviable" "$timeouts" "$SECONDS"
[ "$missed" = 0 ]
