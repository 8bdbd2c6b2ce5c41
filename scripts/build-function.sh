#!/bin/bash
# The Lambda bootstrap, as `make package` builds it, put where `sam build` wants it: $ARTIFACTS_DIR/bootstrap.
#
# SAM does not tell a Makefile for which architecture it builds. It is read from where SAM itself has
# it, the parameter overrides in samconfig.toml; ARCHITECTURE in the environment wins over that.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

: "${ARTIFACTS_DIR:?is set by sam build; by hand: make build-RestoreProofFunction ARTIFACTS_DIR=folder}"
if [ -z "${ARCHITECTURE:-}" ] && [ -e samconfig.toml ]; then
    ARCHITECTURE="$(sed -nE '/^\[default\.build\./,/^\[/s/^[^#]*Architecture="?(x86_64|arm64).*/\1/p' samconfig.toml | head -n 1)"
fi
architecture="${ARCHITECTURE:-x86_64}"

use_target_folder
build_shipped "$architecture" bootstrap
mkdir -p "$ARTIFACTS_DIR"
install -m 0755 "$shipped/bootstrap" "$ARTIFACTS_DIR/bootstrap"
say "bootstrap for $architecture: $(stat -c %s "$ARTIFACTS_DIR/bootstrap") bytes"
