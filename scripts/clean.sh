#!/bin/bash
# `make clean`: deletes what builds and the demo have left in the clone, and everything in the cache.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

say "Deleting .aws-sam, demo-out, what fuzzing has gathered, and $cache"
rm -rf "$root/.aws-sam" "$root/demo-out" "$root/fuzz/artifacts" "$root/fuzz/corpus" "$root/fuzz/target" "$cache"
