#!/bin/bash
# `make demo`: builds what the demo needs and runs it. Arguments go to `restore-proof demo`.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_system demo
use_target_folder
say "Building (the first time takes a few minutes, later ones a moment)"
build_binaries
exec "$CARGO_TARGET_DIR/debug/restore-proof" demo "$@"
