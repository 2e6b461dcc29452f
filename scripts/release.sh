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

# What breaks callers is judged against what the last release had: this one becomes that.
case $version in
v*-* | unknown) ;;
v*)
	if ! cmp -s docs/openapi.json docs/openapi.released.json; then
		echo "docs/openapi.released.json is not that of $version: cp docs/openapi.json docs/openapi.released.json, empty tools/openapi/accepted.txt, and tag that" >&2
		exit 1
	fi
	;;
esac

if [ -z "${RELEASE:-}" ]; then
	go -C tools/release build -o ../../bin/tools/release .
fi
exec "${RELEASE:-bin/tools/release}" build -version "$version" -epoch "$epoch" "$@"
