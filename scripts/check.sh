#!/usr/bin/env bash
# Judges the tree without running it. Each step prints one line, and its findings when there are any; all steps run even
# if one fails. Steps can be named: scripts/check.sh lint tidy.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
need_go

# files PATTERN… lists the files that git knows or could add.
files() { git ls-files -z --cached --others --exclude-standard --deduplicate -- "$@" | while IFS= read -r -d '' f; do
	if [ -f "$f" ]; then printf '%s\0' "$f"; fi
done; }

step_gofmt() {
	local found
	found=$(files '*.go' | xargs -0 gofmt -l) || return 1
	if [ -n "$found" ]; then
		printf 'not formatted, run gofmt -w on:\n%s\n' "$found"
		return 1
	fi
}

step_vet() { go vet ./... && go -C tools vet ./... && go -C tools/release vet ./... && go -C tools/kubernetes vet ./... && go -C tools/openapi vet ./...; }

# The linters are built into one program of the module tools/, which go vet runs: it keeps results per package.
step_lint() {
	go -C tools build -o ../bin/tools/lint . && go vet -vettool="$PWD/bin/tools/lint" ./...
}

step_misspell() {
	go -C tools build -o ../bin/tools/misspell github.com/golangci/misspell/cmd/misspell &&
		files '*.go' '*.md' '*.sh' '*.yaml' '*.yml' '*.html' '*.ts' '*.tsx' Makefile ':!LICENSE' |
		xargs -0 bin/tools/misspell -error
}

# Only go.mod is judged. To write go.sum, tidy also wants the tests of our dependencies' dependencies, and not every mirror
# has them all: hence -e, which goes on without. A sum that is really missing breaks the build anyway.
step_tidy() {
	local dir diff errors status=0
	errors=$(mktemp)
	for dir in . tools tools/release tools/kubernetes tools/openapi; do
		if ! diff=$(go -C "$dir" mod tidy -e -diff 2>"$errors") && [ -z "$diff" ]; then
			cat "$errors"
			status=1
		fi
		if grep -q '^diff current/go.mod' <<<"$diff"; then
			echo "$dir/go.mod is out of step; run: go -C $dir mod tidy -e"
			sed -n '/^diff current\/go.mod/,/^diff current\/go.sum/p' <<<"$diff" | grep -v '^diff current/go.sum' || true
			status=1
		fi
	done
	rm -f "$errors"
	return $status
}

step_licences() { scripts/licences.sh -check; }

# A release is made of the tree as it is, for every system; then for this one of a copy in another folder, which has to give
# the same bytes.
step_release() {
	local copy status=0
	local -x VERSION SOURCE_DATE_EPOCH # the copy has no git to ask
	VERSION=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
	SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
	go -C tools/release test ./... && scripts/release.sh -out dist/check || return 1
	copy=$(mktemp -d /tmp/carom-copy.XXXXXX)
	files | xargs -0 cp --parents -t "$copy"
	release_again "$copy" || status=1
	rm -rf "$copy"
	return $status
}

# release_again COPY compares the archives for this machine's system.
release_again() {
	local name
	RELEASE=$PWD/bin/tools/release "$1/scripts/release.sh" -out again -targets "$(go env GOOS)/$(go env GOARCH)" || return 1
	for name in $(cd "$1/again" && ls); do
		if [ "$name" != checksums.txt ] && ! cmp "dist/check/$name" "$1/again/$name"; then
			echo "the same tree gave another $name in another folder"
			return 1
		fi
	done
}

# Every field of the manifests is one that Kubernetes knows, and what they say of one another is so. Its types need no network.
step_kubernetes() { go -C tools/kubernetes test ./...; }

# The HTTP interface is described by the house's rules, and breaks nobody who was written for the last release.
step_openapi() {
	if (need_openapi); then
		REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true tools/openapi/node_modules/.bin/redocly lint --config tools/openapi/redocly.yaml --format=stylish docs/openapi.json || return 1
	elif [ "${CAROM_TEST_ALL:-}" = 1 ]; then # a machine without Node.js leaves it out
		return 1
	fi
	go -C tools/openapi test ./... && go -C tools/openapi build -o ../../bin/tools/openapi . &&
		bin/tools/openapi docs/openapi.released.json docs/openapi.json tools/openapi/accepted.txt
}

# The package is installed on a bare Debian, and what a person types there is compared with docs/install.md.
step_install() { scripts/install-test.sh; }

step_scripts() {
	local script
	for script in scripts/*.sh .ci/run; do
		bash -n "$script" || return 1
	done
}

# Dead links of the site, and headings that are not there, end the build.
step_site() {
	if (need_site); then
		npm --prefix site run --silent build
	else
		[ "${CAROM_TEST_ALL:-}" != 1 ] # a machine without Node.js leaves it out
	fi
}

# The pages in the binary are those that the sources make. Types are checked on the way, and those of /v1 are the document's.
step_web() {
	local built
	(need_dashboard) || { [ "${CAROM_TEST_ALL:-}" != 1 ]; return; } # a machine without Node.js leaves it out
	built=$(mktemp -d)
	if ! (cd web/dashboard && SCHEMA=$built/schema.d.ts npm run --silent generate >/dev/null && diff -q "$built/schema.d.ts" src/api/schema.d.ts &&
		node_modules/.bin/tsc --noEmit && node_modules/.bin/vite build --logLevel warn --outDir "$built/dist" --emptyOutDir && diff -r "$built/dist" dist); then
		rm -rf "$built"
		echo "web/dashboard is out of step: run make web, and commit what it makes"
		return 1
	fi
	rm -rf "$built"
}

# Whether it compiles is all that is asked, so the compiler need not optimize: a quarter less work.
step_windows() { CGO_ENABLED=0 GOOS=windows GOARCH=amd64 go build -gcflags='all=-N -l' ./...; }
step_macos() { CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 go build -gcflags='all=-N -l' ./...; }

steps=("$@")
if [ ${#steps[@]} = 0 ]; then
	steps=(gofmt vet lint misspell tidy licences site web scripts kubernetes openapi windows macos install release)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()
started=$SECONDS
for step in "${steps[@]}"; do
	at=$SECONDS
	if "step_$step" >"$log" 2>&1; then
		printf 'check %-9s ok (%d s)\n' "$step" $((SECONDS - at))
	else
		printf 'check %-9s FAILED (%d s)\n' "$step" $((SECONDS - at))
		sed 's/^/    /' "$log"
		failed+=("$step")
	fi
done

if [ ${#failed[@]} != 0 ]; then
	echo "make check: FAILED: ${failed[*]} ($((SECONDS - started)) s)"
	exit 1
fi
echo "make check: ok, ${#steps[@]} steps ($((SECONDS - started)) s)"
