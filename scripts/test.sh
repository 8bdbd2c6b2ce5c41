#!/bin/bash
# `make test`: every test of the project, one step after the other, cheap ones first.
#
#   scripts/test.sh            all steps of `make test`
#   scripts/test.sh all        these, and those that take much longer
#   scripts/test.sh STEP...    these steps, in this order (what a step needs of an earlier one, it says)
#
# A failed step does not stop the others. The last line counts them.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

all=(fmt deny templates checkov aws-limits judge clippy doc unit local-aws schema scenarios demo interrupt canaries secrets records calls moto sam package mutants)
expensive=(reproducible all-mutants)
steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=("${all[@]}")
[ "${steps[*]}" != all ] || steps=("${all[@]}" "${expensive[@]}")

work="$(mktemp -d "${TMPDIR:-/tmp}/tests-of-restore-proof.XXXXXX")"
trap 'rm -rf "$work"' EXIT

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
# what AWS Backup sends to restore and what other services send are replayed against the templates.
step_judge() {
    python_tests tests/conformance/test_{judge,formats,policies,privilege,iam,network,restores,services,readme}.py
}

step_clippy() { cargo clippy --locked --workspace --all-targets -- -D warnings; }

step_doc() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items; }

step_unit() {
    cargo test --locked --workspace --lib --bins
    cargo test --locked --workspace --doc
}

# AWS's own Python client and the AWS CLI drive local-aws, and moto must agree with it.
step_local-aws() {
    build_binaries
    LOCAL_AWS="$CARGO_TARGET_DIR/debug/local-aws" \
        python_tests tests/conformance/test_local_aws.py tests/conformance/test_clients.py
}

# The JSON Schema of policy files, against policies good and bad.
step_schema() {
    build_binaries
    CLI="$CARGO_TARGET_DIR/debug/restore-proof" python_tests tests/conformance/test_schema.py
}

# Every AWS call of the scenarios is recorded, for the step `calls`. One of them, `deaths`, needs the function as a program.
step_scenarios() {
    build_binaries
    # What was searched for secrets, for the step `canaries`.
    RESTORE_PROOF_RECORD="$work/scenarios.jsonl" RESTORE_PROOF_CANARIES="$work/canaries.jsonl" \
        cargo test --locked --workspace --test '*'
}

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

# Every recorded AWS call against botocore's service models, and through role, endpoint policies, DNS and security groups.
step_calls() {
    need scenarios "$work/scenarios.jsonl"
    need demo "$work/demo.jsonl"
    CALLS="$work/scenarios.jsonl:$work/demo.jsonl" \
        python_tests tests/conformance/test_calls.py tests/conformance/test_permissions.py
}

# The function, as built for development, against moto.
step_moto() {
    build_binaries
    BOOTSTRAP="$CARGO_TARGET_DIR/debug/bootstrap" LOCAL_AWS="$CARGO_TARGET_DIR/debug/local-aws" \
        python_tests tests/conformance/test_moto.py
}

# The very file that `sam build` makes runs the same events.
step_sam() {
    build_binaries
    sam build --template template.yaml --build-dir "$work/sam"
    need sam "$work/sam/RestoreProofFunction/bootstrap"
    BOOTSTRAP="$work/sam/RestoreProofFunction/bootstrap" LOCAL_AWS="$CARGO_TARGET_DIR/debug/local-aws" \
        python_tests tests/conformance/test_moto.py
}

# What `make package` makes: the same when made again, with the very file that `sam build` makes, and it runs the same
# events. The templates are compared with their sources in the step `templates`.
step_package() {
    build_binaries
    need sam "$work/sam/RestoreProofFunction/bootstrap"
    scripts/package.sh "$work/package"
    scripts/package.sh "$work/package-again"
    diff -r "$work/package" "$work/package-again"
    python -m zipfile -e "$work"/package/restore-proof-*.zip "$work/unzipped"
    chmod +x "$work/unzipped/bootstrap" # Python's unzipping forgets it
    cfn-lint "$work"/package/*.yaml
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

# Safeguards of the promises are taken away in turn; the tests must notice. Here the legs of ownership, and one of each
# other kind, another with each commit: each is a build of its own. All of them by `make mutants` and in `make test-all`.
# That all patches still apply is seen here.
step_mutants() {
    local patch name kind chosen=() number
    local -A kinds=()
    number=$((16#$(git rev-parse HEAD | cut -c1-6)))
    for patch in tests/mutants/*.patch; do
        git apply --check "$patch" || die "$patch does not apply any more"
        name="$(basename "$patch" .patch)"
        kind="${name%%-*}"
        case "$kind" in
        leg) chosen+=("$name") ;;
        *) kinds[$kind]+="$name " ;;
        esac
    done
    local of_kind
    for kind in "${!kinds[@]}"; do
        read -r -a of_kind <<<"${kinds[$kind]}"
        chosen+=("${of_kind[number % ${#of_kind[@]}]}")
    done
    scripts/mutants.sh "${chosen[@]}"
}

step_all-mutants() { scripts/mutants.sh; }

passed=() failed=() summary=""
run() {
    local name="$1" started=$SECONDS status
    say "=== $name"
    # Not in an `if`, which would switch `set -e` off inside.
    set +e
    (set -euo pipefail; "step_$name") </dev/null
    status=$?
    set -e
    local took=$((SECONDS - started))
    if [ "$status" = 0 ]; then
        passed+=("$name")
        summary+="$(printf '%-12s passed %5d s' "$name" "$took")"$'\n'
    else
        failed+=("$name")
        summary+="$(printf '%-12s FAILED %5d s' "$name" "$took")"$'\n'
        say "=== $name failed (exit code $status)"
    fi
}

for name in "${steps[@]}"; do
    declare -F "step_$name" >/dev/null || die "no step '$name'; there are: ${all[*]} ${expensive[*]} advisories deaths"
done

started=$SECONDS
need_system tests
use_target_folder
use_python_tools
summary+="$(printf '%-12s        %5d s' tools $((SECONDS - started)))"$'\n'
for name in "${steps[@]}"; do
    run "$name"
done

say "=== $((SECONDS / 60)) min $((SECONDS % 60)) s in all"
printf '%s' "$summary"
echo "${#passed[@]} passed, ${#failed[@]} failed"
[ ${#failed[@]} = 0 ]
