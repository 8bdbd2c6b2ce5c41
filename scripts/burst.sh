#!/bin/bash
# `make burst`: thousands of copies land at once and are worked off in simulated time; and what sweeps cost with ever more to do.
#
#   COPIES=1000 make burst       so many; 10,000 when it says nothing
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_system demo
use_target_folder
# Optimised: the first build takes long, but 10,000 copies would take most of an hour otherwise.
build_shipped "$(host_architecture)" --example=burst
exec "$shipped/examples/burst"
