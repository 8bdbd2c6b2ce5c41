#!/bin/bash
# `make package`: what people who do not compile Rust install, for x86_64 or, with ARCHITECTURE=arm64, for arm64:
#
#   restore-proof-….zip      the function
#   template.yaml            the stack, for CloudFormation alone: no SAM, no second file
#   forward.yaml             for the accounts and Regions whose events are forwarded
#   sbom.cdx.json            what is in the function (CycloneDX)
#   SHA256SUMS               of all of these
#
#   scripts/package.sh [FOLDER]    into `dist` unless another folder is given
#
# Made twice of one commit, by the same versions of Rust and of Python's zlib, they are the same to the last byte.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

folder="${1:-dist}"
architecture="${ARCHITECTURE:-x86_64}"

use_target_folder
build_shipped "$architecture" bootstrap
use_python_tools
export LC_ALL=C.UTF-8 # the order of SHA256SUMS

work="$(mktemp -d "${TMPDIR:-/tmp}/package-of-restore-proof.XXXXXX")"
trap 'rm -rf "$work"' EXIT
zip="$(python scripts/package.py zip "$shipped/bootstrap" "$architecture" "$work")"
python scripts/flatten.py template.yaml "$zip" "$architecture" >"$work/template.yaml"
if [ -e infra/forward.yaml ]; then cp infra/forward.yaml "$work/forward.yaml"; fi
python scripts/package.py sbom "$work/$zip" "$shipped_target" >"$work/sbom.cdx.json"
(cd "$work" && sha256sum -- * >SHA256SUMS)

# Whole or not at all, and nothing of an earlier package beside it.
mkdir -p "$folder"
rm -rf "$folder"/restore-proof-*.zip "$folder"/{template,forward}.yaml "$folder"/sbom.cdx.json "$folder"/SHA256SUMS
cp "$work"/* "$folder"
say "In $folder:"
(cd "$folder" && cat SHA256SUMS && du -b -- *.zip template.yaml) >&2
