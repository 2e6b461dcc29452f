#!/usr/bin/env bash
# What the tests need beyond Go. Sourced by the other scripts; run by itself it only prepares the machine.
#
# Each need_… function returns 0 when the thing works. On Debian (and what derives from it) as root it is installed when
# missing; elsewhere a line says what is missing and what that leaves out, and the function returns 1. Under
# CAROM_TEST_ALL=1, which CI sets, missing is a failure. To add a need, write one function and call it in need_all.

# A CI machine runs everything or fails: what it skipped would stay untested for good.
if [ "${CI:-}" = true ]; then
	export CAROM_TEST_ALL=1
fi

# Go's own stamping would ask git about every build, and fails where git does not trust the folder's owner.
export GOFLAGS="${GOFLAGS:-} -buildvcs=false"

have() { command -v "$1" >/dev/null 2>&1; }

# can_install says whether packages may be installed here.
can_install() { [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && have apt-get; }

# install_packages PACKAGE… installs quietly, and prints apt-get's words only when it fails.
install_packages() {
	local log
	log=$(mktemp)
	echo "setup: installing $*"
	if { [ -n "${apt_updated:-}" ] || apt-get update; } >"$log" 2>&1 &&
		DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >>"$log" 2>&1; then
		apt_updated=1
		rm -f "$log"
		return 0
	fi
	cat "$log" >&2
	rm -f "$log"
	return 1
}

# need CHECK WHAT WITHOUT PACKAGE… makes sure that the function CHECK succeeds.
# WHAT names the thing; WITHOUT says what is left out without it.
need() {
	local check=$1 what=$2 without=$3
	shift 3
	"$check" && return 0
	if can_install && install_packages "$@" && "$check"; then
		return 0
	fi
	echo "setup: $what is missing, so $without. On Debian: apt-get install $*" >&2
	if [ "${CAROM_TEST_ALL:-}" = 1 ]; then
		exit 1
	fi
	return 1
}

check_go() { have go; }

# need_go: everything is built with it, so its absence always ends the run.
need_go() {
	check_go && return 0
	echo "setup: Go is missing. Install the version that go.mod names: https://go.dev/doc/install" >&2
	exit 1
}

# check_cc compiles rather than looks: a compiler without its headers is of no use.
check_cc() {
	local out status=0
	out=$(mktemp)
	printf '#include <stdlib.h>\nint main(void) { return 0; }\n' |
		${CC:-gcc} -x c -pthread -o "$out" - >/dev/null 2>&1 || status=1
	rm -f "$out"
	return $status
}

# need_cc: the race detector is linked by a C compiler.
need_cc() { need check_cc "a C compiler" "tests run without the race detector" gcc libc6-dev; }

check_php() { have php && php -r 'exit(extension_loaded("pdo_sqlite") ? 0 : 1);'; }

# need_php: the line of PHP that checks a signed postback is run by PHP itself, and so is the example.
need_php() { need check_php "PHP with SQLite" "the PHP that the documentation shows is not run" php-cli php-sqlite3; }

# check_flask looks at Debian's Python too, where another one stands before it in the path.
check_flask() { { python3 -c 'import flask' || /usr/bin/python3 -c 'import flask'; } >/dev/null 2>&1; }

# need_flask: the example in Python is run.
need_flask() { need check_flask "Flask" "the example in Python is not run" python3-flask; }

check_node() { have node && have npm; }

# need_node: the example in JavaScript is run.
need_node() { need check_node "Node.js" "the example in JavaScript is not run" nodejs npm; }

examples_node=$(cd "$(dirname "${BASH_SOURCE[0]}")/../examples/node" && pwd)

# check_express asks for the versions of package.json, and for the native part of the database to load here.
check_express() {
	(cd "$examples_node" && node -e '
		for (const [name, version] of Object.entries(require("./package.json").dependencies)) {
			if (require(`./node_modules/${name}/package.json`).version !== version) process.exit(1)
		}
		require("express"); require("libsql")') >/dev/null 2>&1
}

# need_express: what the example in JavaScript imports, as its package-lock.json says.
need_express() { need_node && need_modules check_express "$examples_node" "express and libsql" "the example in JavaScript is not run"; }

# need_modules CHECK FOLDER WHAT WITHOUT installs what a package-lock.json lists, into its own folder, so that it needs no root.
need_modules() {
	local log check=$1 folder=$2 what=$3 without=$4
	"$check" && return 0
	log=$(mktemp)
	echo "setup: installing $what"
	if (cd "$folder" && npm ci --prefer-offline --fetch-retries 1 --no-audit --no-fund --ignore-scripts) >"$log" 2>&1 && "$check"; then
		rm -f "$log"
		return 0
	fi
	cat "$log" >&2
	rm -f "$log"
	echo "setup: $what are missing, so $without. Run npm ci in $folder" >&2
	if [ "${CAROM_TEST_ALL:-}" = 1 ]; then
		exit 1
	fi
	return 1
}

check_chromium() { have chromium || have chromium-browser || have google-chrome; }

# need_chromium: the front-end helper is run in a browser.
need_chromium() { need check_chromium "Chromium" "the front-end helper is not run in a browser" chromium; }

sdk=$(cd "$(dirname "${BASH_SOURCE[0]}")/../sdk" && pwd)

# check_sdk asks for the versions of package.json, and for the native compilers to start here.
check_sdk() {
	have node && (cd "$sdk" && node -e '
		for (const [name, version] of Object.entries(require("./package.json").devDependencies)) {
			if (JSON.parse(require("fs").readFileSync(`node_modules/${name}/package.json`)).version !== version) process.exit(1)
		}' && node_modules/.bin/tsc --version && node_modules/.bin/esbuild --version) >/dev/null 2>&1
}

# need_sdk: what the front-end helper is built and tested with, as its package-lock.json says.
need_sdk() { need_node && need_modules check_sdk "$sdk" "esbuild, typescript and playwright-core" "the front-end helper is not tested"; }

check_strace() { [ "$(uname -s)" != Linux ] || have strace; }

# need_strace: the power-cut test replays what it recorded.
need_strace() { need check_strace "strace" "the power-cut test does not run" strace; }

check_container() { have mmdebstrap && have systemd-nspawn && have systemd-analyze && [ "$(id -u)" = 0 ]; }

# need_container: the package is installed on a bare Debian, which is a container with a systemd of its own.
need_container() {
	need check_container "mmdebstrap, systemd-nspawn or being root" "the package is not installed on a bare Debian" mmdebstrap systemd-container
}

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# need_tool NAME PACKAGE WITHOUT builds a program of a module of its own, tools/NAME, into bin/tools.
need_tool() {
	local name=$1 package=$2 without=$3
	local program="$repository/bin/tools/$name" module="$repository/tools/$name"
	[ "$program" -nt "$module/go.mod" ] && return 0
	echo "setup: building $name"
	if go -C "$module" build -o "$program" "$package" && touch "$program"; then
		return 0
	fi
	echo "setup: $name cannot be built, so $without" >&2
	if [ "${CAROM_TEST_ALL:-}" = 1 ]; then
		exit 1
	fi
	return 1
}

# need_pebble: certificates are obtained from a real ACME server.
need_pebble() { need_tool pebble github.com/letsencrypt/pebble/v2/cmd/pebble "no certificate is obtained in tests"; }

# need_litestream: continuous copies are made and restored.
need_litestream() { need_tool litestream github.com/benbjohnson/litestream/cmd/litestream "no continuous copy is made in tests"; }

site=$(cd "$(dirname "${BASH_SOURCE[0]}")/../site" && pwd)

# check_site asks for the versions of package.json, and for the native compilers to start here.
check_site() {
	have node && (cd "$site" && node -e '
		for (const [name, version] of Object.entries(require("./package.json").devDependencies)) {
			if (JSON.parse(require("fs").readFileSync(`node_modules/${name}/package.json`)).version !== version) process.exit(1)
		}' && node_modules/.bin/esbuild --version && node_modules/.bin/rollup --version) >/dev/null 2>&1
}

# need_site: what makes a site of the documentation, as its package-lock.json says.
need_site() { need_node && need_modules check_site "$site" "vitepress" "the documentation is not built as a site"; }

openapi=$(cd "$(dirname "${BASH_SOURCE[0]}")/../tools/openapi" && pwd)

# check_openapi asks for the version of package.json.
check_openapi() {
	have node && (cd "$openapi" && node -e '
		for (const [name, version] of Object.entries(require("./package.json").devDependencies)) {
			if (JSON.parse(require("fs").readFileSync(`node_modules/${name}/package.json`)).version !== version) process.exit(1)
		}') >/dev/null 2>&1
}

# need_openapi: what checks the description of the HTTP interface, as its package-lock.json says.
need_openapi() { need_node && need_modules check_openapi "$openapi" "@redocly/cli" "docs/openapi.json is not checked by a linter"; }
dashboard=$(cd "$(dirname "${BASH_SOURCE[0]}")/../web/dashboard" && pwd)

# check_dashboard asks for the versions of package.json, and for the native compilers to start here.
check_dashboard() {
	have node && (cd "$dashboard" && node -e '
		const { dependencies, devDependencies } = require("./package.json")
		for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
			if (JSON.parse(require("fs").readFileSync(`node_modules/${name}/package.json`)).version !== version) process.exit(1)
		}' && node_modules/.bin/vite --version && node_modules/.bin/tsc --version) >/dev/null 2>&1
}

# need_dashboard: what the dashboard is built and tested with, as its package-lock.json says.
need_dashboard() { need_node && need_modules check_dashboard "$dashboard" "vite and the libraries of the dashboard" "the dashboard is neither built nor tested"; }

check_proxies() { { have nginx || [ -x /usr/sbin/nginx ]; } && have caddy && have openssl; }

# need_proxies: what is printed for web servers is run in them. RUNLEVEL keeps the packages from starting them.
need_proxies() { RUNLEVEL=1 need check_proxies "nginx, Caddy or openssl" "what is printed for web servers is not tried" nginx-light caddy openssl; }

# check_postgres asks for the oldest version that carom works with.
check_postgres() {
	local bin version
	for bin in /usr/lib/postgresql/*/bin; do
		version=${bin%/bin}
		[ -x "$bin/initdb" ] && [ "${version##*/}" -ge 15 ] && return 0
	done
	have initdb && have postgres && have pg_basebackup # where other systems have them
}

# need_postgres: the tests start servers of their own. Debian's package would start one, too: while it is installed, a line of
# configuration keeps it from making a cluster, without which nothing is started.
need_postgres() {
	local conf=/etc/postgresql-common/createcluster.d/carom-tests.conf status=0
	check_postgres && return 0
	if can_install; then
		mkdir -p "${conf%/*}" && echo 'create_main_cluster = false' >"$conf"
	fi
	need check_postgres "PostgreSQL 15 or newer" "the store on PostgreSQL is not tested" postgresql || status=1
	rm -f "$conf"
	return $status
}

check_pgbouncer() { have pgbouncer || [ -x /usr/sbin/pgbouncer ]; }

# need_pgbouncer: carom is run behind a pooler of connections. RUNLEVEL keeps the package from starting it.
need_pgbouncer() { RUNLEVEL=1 need check_pgbouncer "PgBouncer" "PostgreSQL is not tested behind a pooler of connections" pgbouncer; }

need_all() {
	need_go
	need_cc || true
	need_php || true
	need_flask || true
	need_express || true
	need_chromium || true
	need_sdk || true
	need_strace || true
	need_site || true
	need_dashboard || true
	need_proxies || true
	need_pebble || true
	need_litestream || true
	need_postgres || true
	need_pgbouncer || true
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	set -euo pipefail
	need_all
fi
