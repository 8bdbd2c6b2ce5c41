#!/bin/bash
# `make install`: builds `restore-proof`, optimised, and puts it where cargo keeps programs. What it has in common with
# the function, which is nearly all, is built once for `make install`, `make package` and `sam build`.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

use_target_folder
if [ "$(uname -s)" = Linux ]; then
    build_shipped "$(host_architecture)" restore-proof
else
    cargo build --locked --release --workspace --bin restore-proof
    shipped="$CARGO_TARGET_DIR/release"
fi
folder="${CARGO_HOME:-$HOME/.cargo}/bin"
mkdir -p "$folder"
install -m 755 "$shipped/restore-proof" "$folder/restore-proof"
say "installed $folder/restore-proof"
