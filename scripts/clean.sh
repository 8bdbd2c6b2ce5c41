#!/bin/bash
# `make clean`: deletes build results in the clone and everything in the cache.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

say "Deleting $root/.aws-sam and $cache"
rm -rf "$root/.aws-sam" "$cache"
