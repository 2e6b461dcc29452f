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
failures=$(mktemp)
trap 'rm -f "$log" "$failures"' EXIT
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

# Each suite ends with what failed in it; that is said once more at the end of all.
browsers() {
	local suite
	suite=$(mktemp)
	"$@" 2>&1 | tee "$suite" || {
		echo "FAIL	$*"
		sed -n '/^✖ failing tests:/,$p' "$suite"
	} >>"$failures"
	rm -f "$suite"
}
if check_sdk; then browsers npm --prefix sdk test; fi
if check_sdk && check_express; then browsers node --test --test-reporter=spec examples/demo/*.test.mjs; fi
if check_sdk; then browsers node --test --test-reporter=spec web/test/*.test.mjs; fi
if check_sdk && check_dashboard; then browsers npm --prefix web/dashboard test; fi

fuzzed=0
scripts/fuzz.sh 3s || fuzzed=1

sdk_tested=0
[ ! -s "$failures" ] || sdk_tested=1
echo
echo "make test: $ok packages ok, $failed failed (${race[*]:-without -race}, $tests_took s); browsers $([ $sdk_tested = 0 ] && echo ok || echo FAILED); fuzzing $([ $fuzzed = 0 ] && echo ok || echo FAILED); $((SECONDS - started)) s in all"
if [ $tested != 0 ]; then
	grep -E -A 8 '^(FAIL	|--- FAIL|    --- FAIL)' "$log" | cut -c1-300 | sed 's/^/  /' || true
fi
sed 's/^/  /' "$failures"
exit $((tested || sdk_tested || fuzzed))
