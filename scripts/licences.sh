#!/usr/bin/env bash
# Writes docs/licences.md from the modules that are linked into carom; with -check it only says whether the page is in step.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
need_go

go -C tools/release build -o ../../bin/tools/release .
exec bin/tools/release licences "$@"
