#!/bin/bash
# Writes docs/test-times.md from what whole runs of `make test` and `make test-all` have kept in the cache.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

{
    cat <<'END'
# How long the tests take

Written by `scripts/test-times.sh`: the last green runs on one machine. Cold: nothing was built before; warm: the same tests had run here. Steps run
beside each other, so that the whole takes less than their sum. What `make test` samples follows from the number of its commit, so that
any twenty commits in a row have run everything: `make sampled` lists what they have not.
END
    for name in test-cold test-warm test-all-cold test-all-warm; do
        if [ -e "$cache/test-times/$name" ]; then printf '\n## ' && cat "$cache/test-times/$name"; fi
    done
} >docs/test-times.md
say "Wrote docs/test-times.md"
