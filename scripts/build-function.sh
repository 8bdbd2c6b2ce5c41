#!/bin/bash
# The Lambda bootstrap, optimised, put where `sam build` wants it: $ARTIFACTS_DIR/bootstrap.
#
# SAM does not tell a Makefile for which architecture it builds. It is read from where SAM itself has
# it, the parameter overrides in samconfig.toml; ARCHITECTURE in the environment wins over that.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

: "${ARTIFACTS_DIR:?is set by sam build; by hand: make build-RestoreProofFunction ARTIFACTS_DIR=folder}"
if [ -z "${ARCHITECTURE:-}" ] && [ -e samconfig.toml ]; then
    ARCHITECTURE="$(sed -nE '/^\[default\.build\./,/^\[/s/^[^#]*Architecture="?(x86_64|arm64).*/\1/p' samconfig.toml | head -n 1)"
fi
architecture="${ARCHITECTURE:-x86_64}"
host="$(uname -s)-$(uname -m)"

use_target_folder
case "$architecture" in
x86_64)
    [ "$host" = Linux-x86_64 ] ||
        die "the x86_64 bootstrap is built on x86_64 Linux, this is $host: set Architecture=arm64, or build on such a machine"
    # `--workspace` for the features, so that nothing is compiled twice with others.
    cargo build --locked --release --workspace --bin bootstrap
    bootstrap="$CARGO_TARGET_DIR/release/bootstrap"
    ;;
arm64)
    cargo lambda --version >/dev/null 2>&1 ||
        die "arm64 is built with cargo-lambda, which is missing: install it with 'pip install cargo-lambda ziglang' and 'rustup target add aarch64-unknown-linux-gnu'"
    cargo lambda build --locked --release --arm64 --bin bootstrap
    bootstrap="$CARGO_TARGET_DIR/lambda/bootstrap/bootstrap"
    ;;
*)
    die "architecture $architecture: must be x86_64 or arm64"
    ;;
esac

# provided.al2023 has glibc 2.34: a bootstrap that wants a later one would die at its first start.
if [ "$architecture" = x86_64 ]; then
    command -v objdump >/dev/null || die "objdump is missing: install the Debian package binutils"
    newest="$(objdump -T "$bootstrap" | grep -oE 'GLIBC_[0-9]+(\.[0-9]+)+' | sort -uV | tail -n 1)"
    if [ "$(printf '%s\nGLIBC_2.34\n' "$newest" | sort -V | tail -n 1)" != GLIBC_2.34 ]; then
        die "the bootstrap needs $newest, the Lambda runtime provided.al2023 has GLIBC_2.34: build on an older system, such as Debian 12, or with cargo-lambda"
    fi
fi

mkdir -p "$ARTIFACTS_DIR"
install -m 0755 "$bootstrap" "$ARTIFACTS_DIR/bootstrap"
say "bootstrap for $architecture: $(stat -c %s "$ARTIFACTS_DIR/bootstrap") bytes"
