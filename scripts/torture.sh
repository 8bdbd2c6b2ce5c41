#!/bin/bash
# `make torture`: the fault suites in simulated time, then pairs of faults and random runs until the time is over.
#
#   TIME=2h make torture         so long; ten minutes when it says nothing
#   SEED=42 make torture         one random run again, call by call
#   ONLY='healthy database [9:death:after:once]' make torture
#                                the runs alone whose name holds this text, call by call
#   WAY=cluster make torture     all of it on the ways whose name holds this text, and nothing random
#   FROM=1 make torture          random runs from this seed on, instead of one that nobody has run yet
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_system demo
use_target_folder
cargo build --locked --workspace --example torture --quiet
exec "$CARGO_TARGET_DIR/debug/examples/torture"
