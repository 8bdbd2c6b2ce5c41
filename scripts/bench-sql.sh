#!/bin/bash
# SQL checks against what psql and mariadb take for the same statements, on real servers, in turns. Ends with 1 when a
# target is missed; docs/sql-speed.md has the last figures.
#
#   ROUNDS=15 scripts/bench-sql.sh       so many turns; 7 when it says nothing
#   ROWS=1000000 scripts/bench-sql.sh    so many rows are counted; 10 million when it says nothing
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_system demo
use_target_folder
# Optimised, as the function is.
build_shipped "$(host_architecture)" --example=bench-sql
exec "$shipped/examples/bench-sql"
