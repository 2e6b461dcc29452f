#!/usr/bin/env bash
# Makes dist/: archives for each system, Debian packages, checksums. Arguments go to the program in tools/release:
# scripts/release.sh -targets linux/amd64. VERSION and SOURCE_DATE_EPOCH win over what git says of the commit; RELEASE is the
# program, if it is built already.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
need_go

version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo unknown)}
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}

if [ -z "${RELEASE:-}" ]; then
	go -C tools/release build -o ../../bin/tools/release .
fi
exec "${RELEASE:-bin/tools/release}" build -version "$version" -epoch "$epoch" "$@"
