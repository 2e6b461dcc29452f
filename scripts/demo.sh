#!/usr/bin/env bash
# Starts both ends on this machine: a network, a publisher, the publisher's backend and a Mini App; says where to look.
# DEMO_PORT is the first of four ports (8090), DEMO_DIR the folder (run/demo).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh

need_node && need_express || {
	echo "make demo: the backend of the demo runs in Node.js; the lines above say what is missing" >&2
	exit 1
}
exec node examples/demo/demo.mjs
