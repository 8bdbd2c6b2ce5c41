#!/bin/bash
# `make test`: every test of the project.
#
#   scripts/test.sh            all steps of `make test`
#   scripts/test.sh all        the same on all of what it samples, and what takes much longer
#   scripts/test.sh STEP...    these steps, in this order (what a step needs of an earlier one, it says)
#
# A failed step does not stop the others. The last line counts them. `make test` samples the mutants and the torture by the
# number of the commit (turn_of in lib.sh; TURN=7 for another turn): scripts/sampled.sh shows that nothing is left out for
# long. The times of whole runs are kept; scripts/test-times.sh puts them into docs/test-times.md.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# One after the other: they share cargo's folder of unoptimised builds.
tests=(fmt clippy doc unit local-aws schema doctor scenarios demo interrupt canaries secrets records runbook calls)
# Beside them: what compiles nothing, and the optimised build. One core is idle for much of either.
beside=(deny templates checkov aws-limits judge sam package)
# When all is over: mutants take the folder for another tree.
last=(mutants)
# In `make test-all` instead.
expensive=(page all-mutants torture deaths reproducible)

work="$(mktemp -d "${TMPDIR:-/tmp}/tests-of-restore-proof.XXXXXX")"
trap 'rm -rf "$work"' EXIT
mkdir "$work/logs"

python_tests() { python -m pytest -p no:cacheprovider --quiet "$@"; }

# What an earlier step of this run must have left behind.
need() {
    [ -s "$2" ] || die "$2 is missing or empty: the step '$1' writes it and did not"
}

step_fmt() {
    cargo fmt --all --check
    cargo fmt --manifest-path fuzz/Cargo.toml --check
}

step_deny() {
    use_cargo_deny
    cargo deny --locked check bans licenses sources
}

step_advisories() {
    use_cargo_deny
    cargo deny --locked check advisories
}

step_templates() {
    python_tests tests/conformance/test_flatten.py
    sam validate --lint --template template.yaml
    cfn-lint template.yaml infra/*.yaml
}

# checkov looks through the templates; every suppression has its reason.
step_checkov() {
    make_python_environment tests/requirements-checkov.txt "two minutes, 290 MB"
    CHECKOV="$python_environment/bin/checkov" python_tests tests/conformance/test_checkov.py
}

# What AWS would refuse in the translated templates: botocore's models, and a table of what AWS documents beside them.
step_aws-limits() { python_tests tests/conformance/test_limits.py; }

# The judge of recorded AWS calls finds what is wrong with a call on purpose; parliament looks through the IAM policies;
# what the templates must say of roles, of encryption and of who is let in, they say. IAM's rules, the isolated network,
# what AWS Backup sends to restore and what other services send are replayed against the templates. The queries of Athena
# are asked of histories.
step_judge() {
    python_tests tests/conformance/test_{judge,formats,policies,privilege,guards,iam,network,restores,services,readme,certificates,athena}.py
    python3 scripts/certificates.py --check
}

step_clippy() { cargo clippy --locked --workspace --all-targets -- -D warnings; }

step_doc() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items; }

step_unit() { cargo test --locked --workspace --lib --bins; }

# AWS's own Python client and the AWS CLI drive local-aws, and moto must agree with it.
step_local-aws() {
    build_binaries
    LOCAL_AWS="$CARGO_TARGET_DIR/debug/local-aws" \
        python_tests tests/conformance/test_local_aws.py tests/conformance/test_clients.py
}

# The JSON Schema of policy files, against policies good and bad; reports, against the saved queries.
step_schema() {
    build_binaries
    CLI="$CARGO_TARGET_DIR/debug/restore-proof" python_tests tests/conformance/test_{schema,report}.py
}

# The doctor of deployed stacks, on one that is healthy and on the same broken in every way; moto plays most of AWS.
step_doctor() {
    build_binaries
    CLI="$CARGO_TARGET_DIR/debug/restore-proof" BOOTSTRAP="$CARGO_TARGET_DIR/debug/bootstrap" \
        LOCAL_AWS="$CARGO_TARGET_DIR/debug/local-aws" python_tests tests/conformance/test_doctor.py
}

# Every AWS call of the scenarios is recorded, for the step `calls`. One of them, `deaths`, needs the function as a program.
step_scenarios() {
    build_binaries
    sampled "torture: single harms of turn $TURN, of any ten turns in a row all"
    # What was searched for secrets, for the step `canaries`.
    env -u TIME RESTORE_PROOF_RECORD="$work/scenarios.jsonl" RESTORE_PROOF_CANARIES="$work/canaries.jsonl" \
        cargo test --locked --workspace --test '*'
}

# All fault suites, then pairs of strikes and random runs until TIME is over.
step_torture() { scripts/torture.sh; }

# The function's processes are killed again and again: for TIME (1m), or in the one round of SEED. Part of `scenarios`.
step_deaths() {
    build_binaries
    cargo test --locked --workspace --test deaths
}

step_demo() {
    build_binaries
    "$CARGO_TARGET_DIR/debug/restore-proof" demo --record "$work/demo.jsonl" --records "$work/records"
}

# Ctrl-C and worse in the middle of the demo.
step_interrupt() {
    build_binaries
    DEMO="$CARGO_TARGET_DIR/debug/restore-proof" python_tests tests/conformance/test_interrupt.py
}

# No secret shows in what the function wrote in any scenario, and all that it wrote was looked through.
step_canaries() {
    need scenarios "$work/canaries.jsonl"
    CANARIES="$work/canaries.jsonl" python_tests tests/conformance/test_canaries.py
}

# A demo with secrets of the test's choice, and then none of them anywhere.
step_secrets() {
    build_binaries
    DEMO="$CARGO_TARGET_DIR/debug/restore-proof" python_tests tests/conformance/test_secrets.py
}

# The records as Athena reads them.
step_records() {
    need demo "$work/records"
    need demo "$work/demo.jsonl"
    RECORDS="$work/records" CALLS="$work/demo.jsonl" python_tests tests/conformance/test_records.py
}

# The runbook of what the demo has proved, pasted into a shell with the AWS CLI, against local-aws.
step_runbook() {
    need demo "$work/records"
    build_binaries
    RECORDS="$work/records" CLI="$CARGO_TARGET_DIR/debug/restore-proof" LOCAL_AWS="$CARGO_TARGET_DIR/debug/local-aws" \
        BOOTSTRAP="$CARGO_TARGET_DIR/debug/bootstrap" python_tests tests/conformance/test_runbook.py
}

# Reports' pages in a browser, that of the demo among them: sorted, filtered, opened, printed, read on a phone and without
# scripts, and looked through by axe. Minutes, so not in `make test`, which reads the same pages' figures (`schema`).
step_page() {
    need demo "$work/records.html"
    build_binaries
    use_browser_tools
    DEMO_PAGE="$work/records.html" CLI="$CARGO_TARGET_DIR/debug/restore-proof" python_tests tests/conformance/test_page.py
}

# Every recorded AWS call against botocore's service models, and through role, endpoint policies, DNS and security groups.
# What alarms and dashboard read is among what was logged.
step_calls() {
    need scenarios "$work/scenarios.jsonl"
    need demo "$work/demo.jsonl"
    CALLS="$work/scenarios.jsonl:$work/demo.jsonl" RECORDS="$work/records" \
        python_tests tests/conformance/test_{calls,permissions,events,watching}.py
}

# The function, as built for development, against moto. In `make test` the step `package` does it with the shipped file.
step_moto() {
    build_binaries
    BOOTSTRAP="$CARGO_TARGET_DIR/debug/bootstrap" LOCAL_AWS="$CARGO_TARGET_DIR/debug/local-aws" \
        python_tests tests/conformance/test_moto.py
}

# What `sam build` makes, for the step `package`.
step_sam() {
    # The SDK of EC2 takes 9 GB to build and 10 GB when it is optimised: not both at one time.
    if [ -n "$kind" ]; then until grep -q '^unit ' "$work/results"; do sleep 5; done; fi
    sam build --template template.yaml --build-dir "$work/sam"
    need sam "$work/sam/RestoreProofFunction/bootstrap"
}

# What `make package` makes: the same when made again, with the very file that `sam build` makes, and that runs events
# against moto. The templates are compared with their sources in the step `templates`.
step_package() {
    build_binaries
    need sam "$work/sam/RestoreProofFunction/bootstrap"
    scripts/package.sh "$work/package"
    scripts/package.sh "$work/package-again"
    diff -r "$work/package" "$work/package-again"
    python -m zipfile -e "$work"/package/restore-proof-*.zip "$work/unzipped"
    chmod +x "$work/unzipped/bootstrap" # Python's unzipping forgets it
    # W1033: it resolves also the branch of a condition that is not taken, and there SubnetIds is empty.
    cfn-lint --ignore-checks W1033 -- "$work"/package/*.yaml
    export BOOTSTRAP="$work/unzipped/bootstrap"
    PACKAGE="$work/package" BUILT_BY_SAM="$work/sam/RestoreProofFunction/bootstrap" \
        python_tests tests/conformance/test_package.py
    LOCAL_AWS="$CARGO_TARGET_DIR/debug/local-aws" python_tests tests/conformance/test_moto.py
}

# One commit gives one package: a clone, built in another folder, with another target folder and another home of cargo's,
# against this tree. A whole optimised build, so not in `make test`.
step_reproducible() {
    [ -z "$(git status --porcelain)" ] ||
        die "this tree is not what is committed, so a clone would be built from something else: commit, then try again"
    scripts/package.sh "$work/here"
    git clone --quiet "$root" "$work/another/folder/clone"
    mkdir -p "$work/cargo"
    cp -a "${CARGO_HOME:-$HOME/.cargo}/registry" "$work/cargo/" # saves the downloads
    if [ -e "${CARGO_HOME:-$HOME/.cargo}/config.toml" ]; then cp "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$work/cargo/"; fi
    CARGO_HOME="$work/cargo" CARGO_TARGET_DIR="$work/built" "$work/another/folder/clone/scripts/package.sh" "$work/there"
    diff -r "$work/here" "$work/there"
}

# Safeguards of the promises are taken away in turn; the tests must notice. All that the core's unit tests notice. Of the
# others, each a build of its own: those whose safeguard or scenes this commit and what is not committed have changed, eight
# at most, and those of this turn. That all patches still apply is seen here.
step_mutants() {
    local name chosen=() left=() changed=() of_turn=()
    for name in tests/mutants/*.patch; do
        git apply --check "$name" || die "$name does not apply any more"
        name="$(basename "$name" .patch)"
        if is_of_core "$name"; then chosen+=("$name"); fi
    done
    # A clone of one commit knows no commit before it.
    { git diff --name-only HEAD~1 2>/dev/null || true; git ls-files --others --exclude-standard; } >"$work/changed"
    for name in $(mutants_outside_of_core); do
        if turn_has_mutant "$TURN" "$name"; then
            of_turn+=("$name")
        elif files_of_mutant "$name" | grep -qxFf "$work/changed"; then
            if [ ${#changed[@]} -lt 8 ]; then changed+=("$name"); else left+=("$name"); fi
        fi
    done
    sampled "mutants: ${#chosen[@]} of the core; of turn $((TURN % turns)): ${of_turn[*]:-none}; changed: ${changed[*]:-none}"
    if [ ${#left[@]} -gt 0 ]; then sampled "mutants that changed and were too many: ${left[*]}"; fi
    GREEN="$(green_steps)" scripts/mutants.sh "${chosen[@]}" "${of_turn[@]}" "${changed[@]}"
}

# The files that a mutant stands or falls with: itself, what it changes, and the scenes that notice.
files_of_mutant() {
    local patch="tests/mutants/$1.patch" scenes
    echo "$patch"
    sed -n 's/^+++ b.//p' "$patch"
    scenes="$(sed -nE '1s/.* scenarios ([a-z]+)::.*/\1/p' "$patch")"
    if [ -n "$scenes" ]; then git ls-files "tests/scenarios/$scenes.rs" "tests/scenarios/$scenes/*"; fi
}

step_all-mutants() { GREEN="$(green_steps)" scripts/mutants.sh; }

# The steps of this run that have passed.
green_steps() { sed -n 's/^\(.*\) passed .*/\1/p' "$work/results" | paste -sd ' '; }

# What a step has left out is told when all is over.
sampled() { echo "$*" >>"$work/sampled"; }

# Runs a step. What it says is shown when it is over, as steps run beside each other; `live`: while it runs.
run() {
    local name="$1" how="$2" began=$SECONDS status outcome=passed log="$work/logs/$1"
    say "=== $name begins"
    # Not in a condition, which would switch `set -e` off inside.
    set +e
    case "$how" in
    live) (set -euo pipefail; "step_$name") </dev/null ;;
    *) (set -euo pipefail; "step_$name") </dev/null >"$log" 2>&1 ;;
    esac
    status=$?
    set -e
    [ "$status" = 0 ] || outcome="FAILED"
    local took=$((SECONDS - began))
    printf '%s %s %s\n' "$name" "$outcome" "$took" >>"$work/results"
    {
        flock 9
        if [ -e "$log" ]; then cat "$log"; fi
        say "=== $name $outcome after $took s (exit code $status)"
    } 9>"$work/printing"
}

run_all() { for name in "$@"; do run "$name" quiet; done; }

kind=""
case "$*" in
"") kind="make test" ;;
all)
    kind="make test-all"
    last=("${expensive[@]}")
    ;;
*)
    for name in "$@"; do
        declare -F "step_$name" >/dev/null ||
            die "no step '$name'; there are: ${tests[*]} ${beside[*]} ${last[*]} ${expensive[*]} moto advisories"
    done
    ;;
esac

need_system tests
TURN="${TURN:-$(turn_of HEAD)}"
export TURN
use_target_folder
warm=cold
if [ -e "$CARGO_TARGET_DIR/debug/bootstrap" ]; then warm=warm; fi
use_python_tools
printf '%s %s %s\n' tools passed "$SECONDS" >>"$work/results"
if [ -n "$kind" ]; then
    # The tests go first where there is work for both: some look at the clock.
    (renice -n 5 $BASHPID >/dev/null && run_all "${beside[@]}") &
    run_all "${tests[@]}"
    wait
    run_all "${last[@]}"
else
    for name in "$@"; do run "$name" live; done
fi

failed="$(grep -c ' FAILED ' "$work/results" || true)"
{
    printf '%s, %s, %s, %s cores, commit %s, turn %s: %s min %02d s\n\n' "$kind" "$(date -u +%F)" "$warm" "$(nproc)" \
        "$(git rev-parse --short HEAD)" "$TURN" $((SECONDS / 60)) $((SECONDS % 60))
    while read -r name outcome took; do printf '    %-14s %-6s %6d s\n' "$name" "$outcome" "$took"; done <"$work/results"
    if [ -e "$work/sampled" ]; then printf '\nSampled:\n\n' && sed 's/^/- /' "$work/sampled"; fi
} >"$work/times"
say "==="
cat "$work/times"
if [ -n "$kind" ] && [ "$failed" = 0 ]; then
    mkdir -p "$cache/test-times"
    cp "$work/times" "$cache/test-times/${kind#make }-$warm"
fi
echo "$(($(wc -l <"$work/results") - 1 - failed)) passed, $failed failed"
[ "$failed" = 0 ]
