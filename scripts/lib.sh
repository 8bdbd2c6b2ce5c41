# Sourced by the other scripts: where things are kept, and installing what is missing.
# shellcheck shell=bash

set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"

# Everything that may be built once and used by every clone lies here, outside of them.
cache="${XDG_CACHE_HOME:-$HOME/.cache}/restore-proof"

say() {
    if [ -t 2 ]; then printf '\033[1m%s\033[0m\n' "$*" >&2; else printf '%s\n' "$*" >&2; fi
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Cargo's target folder: one per set of dependencies, profiles and compiler, shared by all clones. Folders of
# sets that nobody has used for two weeks go. CARGO_TARGET_DIR wins when it is set.
use_target_folder() {
    # Where rustup puts it; a shell that has not been restarted since does not look there.
    command -v cargo >/dev/null || PATH="$PATH:$HOME/.cargo/bin"
    command -v cargo >/dev/null ||
        die "cargo is missing: install Rust 1.95 or later with rustup (https://rustup.rs), then try again"
    if [ -n "${CARGO_TARGET_DIR:-}" ]; then
        export CARGO_TARGET_DIR
        mkdir -p "$CARGO_TARGET_DIR"
        lock_target_folder
        claim_target_folder "$root"
        return
    fi
    local key
    key="$({ rustc --version --verbose && grep '^checksum' Cargo.lock && sed -n '/^\[profile/,$p' Cargo.toml &&
        cat .cargo/config.toml; } | sha256sum | cut -c1-16)"
    export CARGO_TARGET_DIR="$cache/target/$key"
    mkdir -p "$CARGO_TARGET_DIR"
    touch "$CARGO_TARGET_DIR"
    find "$cache/target" -mindepth 1 -maxdepth 1 -type d -mtime +14 -exec rm -rf {} +
    lock_target_folder
    claim_target_folder "$root"
}

# One run at a time in a target folder: of two, each would take the other's crates for its own. What a
# run calls (`sam build` calls make again) has the lock of its caller.
lock_target_folder() {
    [ "${RESTORE_PROOF_LOCKED:-}" != "$CARGO_TARGET_DIR" ] || return 0
    exec {target_lock}>"$CARGO_TARGET_DIR/lock"
    if ! flock --nonblock "$target_lock"; then
        say "Waiting for another run that builds in $CARGO_TARGET_DIR"
        flock "$target_lock"
    fi
    export RESTORE_PROOF_LOCKED="$CARGO_TARGET_DIR"
}

# Cargo tells our own crates' age by the files' times, whatever tree they lie in: what another clone
# or a mutant has built must not pass for built from this tree. Dependencies are the same for all.
#   claim_target_folder TREE [PROFILE...]    all profiles unless some are named
claim_target_folder() {
    local tree="$1" profile folder
    shift
    [ $# -gt 0 ] || set -- debug release
    for profile in "$@"; do
        folder="$CARGO_TARGET_DIR/$profile"
        if [ "$(cat "$folder/built-from" 2>/dev/null)" != "$tree" ]; then
            rm -rf "$folder"/.fingerprint/restore-proof*
            mkdir -p "$folder"
            printf '%s' "$tree" >"$folder/built-from"
        fi
    done
}

# Installs Debian packages. Services that come with them stay stopped: the demo and the tests start
# their own database servers, as an unprivileged user and on free ports.
install_packages() {
    local sudo=()
    say "Installing with apt: $*"
    command -v apt-get >/dev/null ||
        die "this is no Debian-like system: install by hand what these Debian packages hold: $*"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "neither root nor sudo: run as root: apt-get install $*"
        sudo=(sudo)
    fi
    # Debian's own way to keep package scripts from starting services; a policy of the machine's
    # owner is left as it is.
    local policy=/usr/sbin/policy-rc.d ours=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
        "${sudo[@]}" chmod +x "$policy"
        ours=yes
    fi
    local status=0
    { "${sudo[@]}" apt-get update -qq &&
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -y -qq --no-install-recommends "$@"; } </dev/null >&2 || status=$?
    if [ -n "$ours" ]; then
        "${sudo[@]}" rm -f "$policy"
    fi
    [ "$status" = 0 ] || die "apt could not install: $*"
}

# The programs that local-aws looks for. The server's own folder is not in everybody's PATH.
has_mariadb() {
    local program
    for program in mariadbd mariadb-install-db mariadb; do
        PATH="$PATH:/usr/sbin:/usr/local/sbin:/usr/libexec" command -v "$program" >/dev/null || return
    done
}

# What the demo, or the tests ("tests"), need of the system: installed when it is missing.
need_system() {
    local missing=()
    command -v cc >/dev/null || missing+=(build-essential)
    # The engines of restored databases; MariaDB's plays RDS's MySQL too.
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
    has_mariadb || missing+=(mariadb-server)
    command -v setpriv >/dev/null || missing+=(util-linux)
    if [ "$1" = tests ]; then
        python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
        command -v objdump >/dev/null || missing+=(binutils)
    fi
    if [ ${#missing[@]} -gt 0 ]; then
        install_packages "${missing[@]}"
    fi
}

# Makes python_environment a folder with what a requirements file pins, one per file and Python, shared by all clones.
#   make_python_environment FILE HOW_LONG
make_python_environment() {
    local file="$1" how_long="$2" key folder lock
    key="$({ python3 --version && cat "$file"; } | sha256sum | cut -c1-16)"
    folder="$cache/python/$key"
    mkdir -p "$cache/python"
    exec {lock}>"$cache/python/lock"
    flock "$lock" # two clones may want the same folder at the same time
    if [ ! -e "$folder/complete" ]; then
        say "Installing the Python tools of $file (once, about $how_long)"
        rm -rf "$folder"
        python3 -m venv "$folder"
        "$folder/bin/pip" install --quiet --no-deps --requirement "$file"
        "$folder/bin/pip" check >&2
        touch "$folder/complete"
    fi
    exec {lock}>&-
    touch "$folder"
    find "$cache/python" -mindepth 1 -maxdepth 1 -type d -mtime +14 -exec rm -rf {} +
    python_environment="$folder"
}

# The Python tools of the tests.
use_python_tools() {
    make_python_environment tests/requirements.txt "two minutes"
    export PATH="$python_environment/bin:$PATH"
    export PYTHONDONTWRITEBYTECODE=1 SAM_CLI_TELEMETRY=0
}

# Debian's Chromium, and what drives it: beside the Python tools of the other tests, for the pages are made of their histories.
use_browser_tools() {
    command -v chromium >/dev/null || install_packages chromium
    CHROMIUM="$(command -v chromium)"
    make_python_environment tests/requirements-browser.txt "half a minute, 170 MB"
    PYTHONPATH="$(echo "$python_environment"/lib/python3.*/site-packages)"
    export CHROMIUM PYTHONPATH
}

cargo_deny_version=0.20.2

use_cargo_deny() { use_tool cargo-deny "$cargo_deny_version"; }

# A tool of cargo's, built once per version; optimising it would take longer than it ever runs.
#   use_tool NAME VERSION
use_tool() {
    local name="$1" version="$2" folder="$cache/$1-$2"
    if [ ! -x "$folder/bin/$name" ]; then
        say "Building $name $version (once, a few minutes)"
        CARGO_TARGET_DIR="$folder/target" cargo install "$name" --quiet --locked \
            --version "$version" --root "$folder" --debug
        rm -rf "$folder/target"
    fi
    export PATH="$folder/bin:$PATH"
}

cargo_mutants_version=27.1.0

cargo_fuzz_version=0.13.2

# Fuzzing instruments what it runs, which stable Rust does not offer. cargo-fuzz is built once per version.
use_nightly_and_cargo_fuzz() {
    command -v cargo >/dev/null || PATH="$PATH:$HOME/.cargo/bin"
    command -v rustup >/dev/null || die "rustup is missing (https://rustup.rs): fuzzing needs its nightly toolchain"
    if ! rustup toolchain list | grep -q '^nightly'; then
        say "Installing Rust's nightly toolchain with rustup (once)"
        rustup toolchain install nightly --profile minimal --no-self-update
    fi
    command -v c++ >/dev/null || install_packages build-essential
    use_tool cargo-fuzz "$cargo_fuzz_version"
}

# The dev profile's binaries: the bootstrap, local-aws and restore-proof. Always the whole workspace:
# a build of single crates would switch dependencies to other features and compile them again.
build_binaries() {
    cargo build --locked --workspace --bins
}

# The glibc of Lambda's runtime provided.al2023 (Amazon Linux 2023 user guide, "Comparing AL2 and AL2023"): what
# needs a later one dies there at its first start.
shipped_glibc=2.34

# What build_shipped calls this machine.
host_architecture() {
    case "$(uname -m)" in
    x86_64) echo x86_64 ;;
    aarch64) echo arm64 ;;
    *) die "this machine is $(uname -m): the programs are built for x86_64 and arm64" ;;
    esac
}

# Builds shipped programs, optimised, in the one way in which they are built everywhere: the compiler of C and the
# linker are zig's, and no path of this machine gets into the files. So one commit gives the same bytes on any Linux.
# Sets `shipped` to the folder that they lie in and `shipped_target` to Rust's name of what they are built for.
#   build_shipped ARCHITECTURE PROGRAM|--example=PROGRAM...
build_shipped() {
    local architecture="$1" program programs=() sources flags
    shift
    case "$architecture" in
    x86_64) shipped_target=x86_64-unknown-linux-gnu ;;
    arm64) shipped_target=aarch64-unknown-linux-gnu ;;
    *) die "architecture $architecture: must be x86_64 or arm64" ;;
    esac
    [ "$(uname -s)" = Linux ] ||
        die "the function is built on Linux, this is $(uname -s): build there, or install the package that 'make package' made"
    [ -d "$(rustc --print sysroot)/lib/rustlib/$shipped_target" ] ||
        die "Rust's standard library for $shipped_target is missing: install it with 'rustup target add $shipped_target', then try again"
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3 python3-venv
    # Build scripts are linked by the system's own compiler.
    command -v cc >/dev/null || install_packages build-essential
    make_python_environment scripts/requirements-build.txt "one minute, 450 MB"
    claim_target_folder "$root" "$shipped_target/release"
    for program in "$@"; do
        case "$program" in
        --example=*) programs+=("$program") ;;
        *) programs+=(--bin "$program") ;;
        esac
    done
    cargo fetch --locked --quiet --target "$shipped_target"
    # Panics name source files. Ours are named from the workspace on, those of crates by where cargo keeps them.
    # Cargo leaves these flags out of the names that it derives from a crate's flags.
    flags="--remap-path-prefix=$CARGO_TARGET_DIR=/target"
    for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
        flags+=$'\x1f'"--remap-path-prefix=${sources%/}=/crates"
    done
    flags+=$'\x1f'"--remap-path-prefix=$(rustc --print sysroot)/lib/rustlib/src/rust=/rust"
    # `--workspace` for the features: each of these programs uses the same build of a dependency.
    PATH="$python_environment/bin:$PATH" CARGO_ENCODED_RUSTFLAGS="$flags" SOURCE_DATE_EPOCH=315532800 \
        cargo zigbuild --locked --release --workspace "${programs[@]}" --target "$shipped_target.$shipped_glibc"
    shipped="$CARGO_TARGET_DIR/$shipped_target/release"
}

# `make test` takes a sample of what takes long, another part of it in each turn. The commits of a branch count the turns,
# so that any twenty commits in a row have taken everything. A shallow clone does not know how many there are: there the
# commit's hash stands for the number.
turns=20

# Prints a commit's turn.
turn_of() {
    if [ "$(git rev-parse --is-shallow-repository)" = true ]; then
        echo $((16#$(git rev-parse "$1" | cut -c1-7)))
    else
        git rev-list --count --first-parent "$1"
    fi
}

# Whether the core's own unit tests kill this mutant: a build of seconds.
is_of_core() { head -n 1 "tests/mutants/$1.patch" | grep -q -- ' -p restore-proof-core '; }

# Prints the mutants whose safeguard is outside of the core: each is a build of its own.
mutants_outside_of_core() {
    local patch name
    for patch in tests/mutants/*.patch; do
        name="$(basename "$patch" .patch)"
        is_of_core "$name" || printf '%s\n' "$name"
    done
}

# Whether this turn's sample has this mutant. Its name decides, so that new mutants do not move the others.
turn_has_mutant() { [ $(($(cksum <<<"$2" | cut -d ' ' -f 1) % turns)) = $(($1 % turns)) ]; }
