#!/bin/bash
# `make fuzz`: lets libFuzzer look for inputs that break what is read from others. A finding is a failure.
#
# Each fuzz/fuzz_targets/NAME.rs reads hostile input with the core alone and asserts what must hold of the
# result. It starts from the seeds (tests/events, tests/policy, examples, fuzz/seeds/NAME) and from what
# earlier runs found worth keeping (fuzz/corpus, not committed).
#
#   scripts/fuzz.sh                         all targets, a minute each
#   TIME=600 scripts/fuzz.sh NAME...        these, ten minutes each
#   scripts/fuzz.sh --replay NAME FILE...   these inputs once: what a finding was, whether it is mended
#
# JOBS (2) targets run at the same time. SEED makes libFuzzer's choices those of an earlier run.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

seconds="${TIME:-60}" jobs="${JOBS:-2}"
replay=
if [ "${1:-}" = --replay ]; then
    [ $# -ge 3 ] || die "usage: scripts/fuzz.sh --replay TARGET FILE..."
    replay=yes
    set -- "${@:2}"
fi

mapfile -t all < <(find fuzz/fuzz_targets -name '*.rs' -printf '%f\n' | sed 's/\.rs$//' | sort)
targets=("$@")
[ -z "$replay" ] || targets=("$1")
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")
for name in "${targets[@]}"; do
    [ -e "fuzz/fuzz_targets/$name.rs" ] || die "no target '$name'; there are: ${all[*]}"
done

# The longest input, bytes: what AWS delivers at most, a policy that nobody writes, more than a judged tree.
longest() {
    case "$1" in
    policy | values) echo 65536 ;;
    http) echo 131072 ;;
    *) echo 16384 ;;
    esac
}

# Where inputs to begin with lie.
seeds() {
    case "$1" in
    events | notifications) find tests/events -name '*.json' ;;
    policy) find tests/policy examples -name '*.toml' ;;
    *) find "fuzz/seeds/$1" -type f ;;
    esac
}

use_nightly_and_cargo_fuzz
# Its own folder: built by another compiler, with coverage and the address sanitizer.
export CARGO_TARGET_DIR="$cache/fuzz/target"
host="$(rustc +nightly --version --verbose | sed -n 's/^host: //p')"
mkdir -p "$CARGO_TARGET_DIR"
lock_target_folder
claim_target_folder "$root" "$host/release"
cargo +nightly metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null ||
    die "fuzz/Cargo.lock is not up to date: run cargo update --workspace --manifest-path fuzz/Cargo.toml"
if [ $# = 0 ]; then
    cargo +nightly fuzz build --fuzz-dir fuzz --target-dir "$CARGO_TARGET_DIR"
else
    for name in "${targets[@]}"; do
        cargo +nightly fuzz build --fuzz-dir fuzz --target-dir "$CARGO_TARGET_DIR" "$name"
    done
fi
# A copy, so that another clone may build while this one runs.
work="$(mktemp -d "${TMPDIR:-/tmp}/fuzz-of-restore-proof.XXXXXX")"
stop() {
    local running
    mapfile -t running < <(jobs -p)
    [ ${#running[@]} = 0 ] || kill "${running[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap stop EXIT
for name in "${targets[@]}"; do
    cp "$CARGO_TARGET_DIR/$host/release/$name" "$work/$name"
done
[ -z "${target_lock:-}" ] || exec {target_lock}>&-

# Inputs grow soon: what is deep or long is reached within minutes.
limits=(-timeout=5 -rss_limit_mb=1024 -len_control=20)
if [ -n "$replay" ]; then
    "$work/$1" "${limits[@]}" "${@:2}"
    exit
fi

fuzz() {
    local name="$1" log="$work/$1.log" begin="$work/$1.seeds" seed="${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}"
    local corpus="fuzz/corpus/$name" artifacts="fuzz/artifacts/$name" status=0
    mkdir -p "$corpus" "$artifacts" "$begin"
    seeds "$name" | while IFS= read -r file; do
        cp "$file" "$begin/$(printf '%s' "$file" | tr / -)"
    done
    find "$artifacts" -type f -printf '%f\n' | sort >"$work/$name.known"
    nice -n 10 "$work/$name" "${limits[@]}" -max_len="$(longest "$name")" -max_total_time="$seconds" -seed="$seed" \
        -dict="fuzz/dictionaries/$name" -artifact_prefix="$artifacts/" -print_final_stats=1 \
        "$corpus" "$begin" >"$log" 2>&1 &
    # shellcheck disable=SC2064 # this very process
    trap "kill $! 2>/dev/null" TERM
    wait $! || status=$?
    local runs coverage corpora took findings=0
    runs="$(sed -nE 's/^stat::number_of_executed_units: *([0-9]+)/\1/p' "$log" | tail -n 1)"
    coverage="$(sed -nE 's/.* cov: ([0-9]+) .*/\1/p' "$log" | tail -n 1)"
    corpora="$(sed -nE 's/.* corp: ([0-9]+)\/.*/\1/p' "$log" | tail -n 1)"
    took="$(sed -nE 's/^Done [0-9]+ runs in ([0-9]+) second.*/\1/p' "$log" | tail -n 1)"
    [ "$status" = 0 ] || findings=1
    printf '%-14s %5s s %10s runs  seed %-10s corpus %5s  edges %5s  findings %s\n' \
        "$name" "${took:--}" "${runs:-0}" "$seed" "${corpora:-0}" "${coverage:-0}" "$findings" | tee "$work/$name.line"
    if [ "$status" != 0 ]; then
        {
            grep -aE -A3 ' panicked at |^SUMMARY: |^==[0-9]+== ERROR: ' "$log" | head -n 20
            find "$artifacts" -type f -printf '%f\n' | sort | comm -13 "$work/$name.known" - |
                while IFS= read -r file; do
                    printf 'found %s/%s\nreplay with scripts/fuzz.sh --replay %s %s/%s\n' \
                        "$artifacts" "$file" "$name" "$artifacts" "$file"
                done
        } >&2
        return 1
    fi
}

failed=0
for name in "${targets[@]}"; do
    if [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; then
        wait -n || failed=$((failed + 1))
    fi
    say "=== $name: $seconds s"
    fuzz "$name" &
done
while [ -n "$(jobs -p)" ]; do
    wait -n || failed=$((failed + 1))
done

say "=== $(date -u +%F), $(rustc +nightly --version), cargo-fuzz $cargo_fuzz_version"
for name in "${targets[@]}"; do
    cat "$work/$name.line"
done
say "$((${#targets[@]} - failed)) of ${#targets[@]} targets without a finding"
[ "$failed" = 0 ]
