#!/usr/bin/env bash
# Runs every test, with the race detector where a C compiler is there, then those of what runs in browsers, and fuzzes each target briefly.
# Arguments go to `go test`: scripts/test.sh -run TestImports . (fuzzing is then left out).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh

started=$SECONDS
need_all

race=()
if check_cc && [ "$(go env CGO_ENABLED)" = 1 ]; then
	race=(-race)
fi

if [ $# -gt 0 ]; then
	exec go test "${race[@]}" "$@"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
tested=0
# vet has its own step in `make check`. The limit is for one package; a test that waits for ever ends here.
# Those that make a database for each of hundreds of tests run without the race detector, which has seen most of their code elsewhere.
databases="carom/internal/postgres carom/internal/move"
others=$(go list ./... | grep -vxF "$(tr ' ' '\n' <<<"$databases")")
# shellcheck disable=SC2086 # lists of packages
go test "${race[@]}" -vet=off -timeout 12m $others 2>&1 | tee "$log" || tested=1
# shellcheck disable=SC2086
go test -vet=off -timeout 20m $databases 2>&1 | tee -a "$log" || tested=1
# The same server, on the other database. Without the race detector, which has seen all of this on the first.
if check_postgres; then
	CAROM_TEST_STORE=postgres go test -vet=off -timeout 8m ./internal/server 2>&1 | tee -a "$log" || tested=1
fi
ok=$(grep -c '^ok ' "$log" || true)
failed=$(grep -c '^FAIL	' "$log" || true)
tests_took=$((SECONDS - started))

sdk_tested=0
if check_sdk; then npm --prefix sdk test || sdk_tested=1; fi
if check_sdk && check_express; then node --test --test-reporter=spec examples/demo/*.test.mjs || sdk_tested=1; fi
if check_sdk; then node --test --test-reporter=spec web/test/*.test.mjs || sdk_tested=1; fi
if check_sdk && check_dashboard; then npm --prefix web/dashboard test || sdk_tested=1; fi

fuzzed=0
scripts/fuzz.sh 3s || fuzzed=1

echo
echo "make test: $ok packages ok, $failed failed (${race[*]:-without -race}, $tests_took s); browsers $([ $sdk_tested = 0 ] && echo ok || echo FAILED); fuzzing $([ $fuzzed = 0 ] && echo ok || echo FAILED); $((SECONDS - started)) s in all"
if [ $tested != 0 ]; then
	grep -E '^(FAIL	|--- FAIL|    --- FAIL)' "$log" | sed 's/^/  /' || true
fi
exit $((tested || sdk_tested || fuzzed))
