#!/bin/bash
# `make sampled`: lists what `make test` samples and has not run in the last twenty commits. There must be nothing.
#
# What a run samples follows from its commit (turn_of in lib.sh), so nothing need be kept of any run. Seen from the whole
# history: a shallow clone's runs take their turns by the hash, and promise nothing.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ "$(git rev-parse --is-shallow-repository)" = false ] ||
    die "this clone is shallow, and nobody knows its commits' turns: git fetch --unshallow, then try again"
need_system demo
use_target_folder
missed=0 had=()
for commit in $(git rev-list --first-parent --max-count "$turns" HEAD); do had+=("$(turn_of "$commit")"); done
say "Turns of the last ${#had[@]} commits: ${had[*]}"
for name in $(mutants_outside_of_core); do
    ran=
    for turn in "${had[@]}"; do
        if turn_has_mutant "$turn" "$name"; then ran=yes; fi
    done
    if [ -z "$ran" ]; then
        echo "mutant $name"
        missed=1
    fi
done
cargo build --locked --workspace --example torture --quiet
TURNS="${had[*]}" "$CARGO_TARGET_DIR/debug/examples/torture" || missed=1
if [ "$missed" = 0 ]; then echo "nothing"; fi
exit "$missed"
