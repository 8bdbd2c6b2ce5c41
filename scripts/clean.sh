#!/bin/bash
# `make clean`: deletes what builds and the demo have left in the clone, and everything in the cache.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

say "Deleting .aws-sam, demo-out and $cache"
rm -rf "$root/.aws-sam" "$root/demo-out" "$cache"
