#!/bin/bash
# `make mutants`: takes one safeguard away at a time and demands that the tests notice.
#
# Each tests/mutants/NAME.patch removes a safeguard. Its first line names the tests that must turn
# red, its second says what is taken away:
#
#     # kills: cargo test --workspace --test scenarios ownership::
#     # The restore role of the job is no longer compared with ours.
#     diff --git ...
#
# The patches are applied to a copy of the tree; the clone itself is left alone. A patch that does
# not apply, a mutant that does not compile and a mutant that no test notices are failures. Where the core's own tests
# notice, they are the ones to name (`cargo test -p restore-proof-core --lib ownership::`): a build of seconds.
#
#   scripts/mutants.sh              all patches
#   scripts/mutants.sh NAME...      these
#
# Without any patch the tests must be green. Where a run of this very tree has seen that already, it says so: GREEN="unit
# scenarios", the steps of test.sh that passed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_system tests
use_target_folder

names=("$@")
if [ ${#names[@]} = 0 ]; then
    mapfile -t names < <(find tests/mutants -name '*.patch' -printf '%f\n' | sed 's/\.patch$//' | sort)
fi
[ ${#names[@]} -gt 0 ] || die "there are no patches in tests/mutants"

# Always in the same place, so that cargo finds again what it built there; one run at a time.
tree="$cache/mutants/tree"
mkdir -p "$cache/mutants"
exec {lock}>"$cache/mutants/lock"
flock "$lock"
log="$(mktemp "${TMPDIR:-/tmp}/mutants-of-restore-proof.XXXXXX")"
trap 'rm -f "$log"' EXIT

# The tree as it is now, uncommitted changes included. `exact`: with the times of the clone's files; otherwise those that
# did not change keep their times, and others are new.
copy_tree() {
    local file how="${1:-}"
    git ls-files -z --cached --others --exclude-standard >"$log"
    mkdir -p "$tree"
    (cd "$tree" && find . -type f -print0) | while IFS= read -r -d '' file; do
        [ -e "$root/${file#./}" ] || rm -f "$tree/$file"
    done
    while IFS= read -r -d '' file; do
        [ -e "$file" ] || continue
        if [ "$how" = exact ]; then
            mkdir -p "$(dirname "$tree/$file")"
            cp -p "$file" "$tree/$file"
        elif ! cmp -s "$file" "$tree/$file"; then
            mkdir -p "$(dirname "$tree/$file")"
            cp "$file" "$tree/$file"
        fi
    done <"$log"
}

# The command in a patch's first line; only cargo test, since a patch is data.
command_of() {
    local line
    line="$(head -n 1 "tests/mutants/$1.patch")"
    [[ "$line" =~ ^#\ kills:\ cargo\ test\ ([A-Za-z0-9_:\ .=-]+)$ ]] ||
        die "tests/mutants/$1.patch: the first line must be '# kills: cargo test ...', is '$line'"
    printf '%s' "${BASH_REMATCH[1]}"
}

# Whether somebody has seen the tests of this command green.
seen_green() {
    case " $* " in
    *" --test scenarios "*) [[ " ${GREEN:-} " == *" scenarios "* ]] ;;
    *" --lib "*) [[ " ${GREEN:-} " == *" unit "* ]] ;;
    *) return 1 ;;
    esac
}

# `git apply` must not look for a repository above the copy.
in_tree() { (cd "$tree" && GIT_CEILING_DIRECTORIES="$cache" "$@") >"$log" 2>&1 </dev/null; }

# use_target_folder has claimed the folder for the clone. What lies there was built from files of the same content and time,
# and is as good for the copy; what mutants leave there is not as good for the clone, so from here on it is the copy's.
copy_tree exact
printf '%s' "$tree" >"$CARGO_TARGET_DIR/debug/built-from"
declare -A green=()
table="" survived=0
for name in "${names[@]}"; do
    started=$SECONDS
    read -r -a arguments <<<"$(command_of "$name")"
    say "=== $name: cargo test ${arguments[*]}"
    if [ -z "${green[${arguments[*]}]:-}" ] && ! seen_green "${arguments[@]}"; then
        in_tree cargo test "${arguments[@]}" ||
            { cat "$log" >&2; die "cargo test ${arguments[*]} is red without any patch"; }
        green[${arguments[*]}]=yes
    fi
    result=killed detail=""
    if ! in_tree git apply --whitespace=nowarn "$root/tests/mutants/$name.patch"; then
        result="DOES NOT APPLY"
    elif ! in_tree cargo test --no-run "${arguments[@]}"; then
        result="DOES NOT COMPILE"
    elif in_tree cargo test "${arguments[@]}"; then
        result=SURVIVED
    elif ! grep -q '^test result: FAILED' "$log"; then
        result="DIED OTHERWISE"
    else
        detail="$(sed -nE 's/^test (.*) \.\.\. FAILED$/\1/p' "$log" | paste -sd ' ')"
    fi
    if [ "$result" != killed ]; then
        survived=$((survived + 1))
        tail -n 40 "$log" >&2
    fi
    copy_tree
    table+="$(printf '%-32s %-16s %4d s  %s' "$name" "$result" $((SECONDS - started)) "$detail")"$'\n'
done

printf '%s' "$table"
say "$((${#names[@]} - survived)) of ${#names[@]} mutants killed"
[ "$survived" = 0 ]
