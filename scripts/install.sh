#!/bin/bash
# `make install`: builds `restore-proof` with what the demo and the tests have built, and puts it where cargo keeps programs.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

use_target_folder
build_binaries
folder="${CARGO_HOME:-$HOME/.cargo}/bin"
mkdir -p "$folder"
install -m 755 "$CARGO_TARGET_DIR/debug/restore-proof" "$folder/restore-proof"
say "installed $folder/restore-proof"
