#!/usr/bin/env bash
# Installs the Debian package on a bare Debian and goes on to a verified postback that arrives at a backend, then upgrades
# under traffic and removes the package. The system is a container: a minimal Debian of this machine's own package mirror,
# booted with its own systemd and without a network. Needs root on Debian.
#
# What a person would type is printed with its output, and is the transcript of docs/install.md: scripts/install-test.sh fails
# when the page differs, and --update writes it anew. Names and times that differ with each run are made the same first.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
need_go
need_container || exit 0

page=docs/install.md
work=$(mktemp -d /tmp/carom-install.XXXXXX)
root=$work/root
transcript=$work/transcript
leader=''

# cleanup ends the container. Its first process is killed rather than asked: nothing in it is worth a shutdown.
cleanup() {
	local code=$?
	if [ -n "$leader" ]; then kill -KILL "$leader" 2>/dev/null || true; fi
	wait || true
	if [ $code != 0 ] && [ -s "$work/journal" ]; then
		echo "--- the last lines of the container's journal:"
		tail -40 "$work/journal"
	fi
	rm -rf "$work"
}
trap cleanup EXIT

die() {
	echo "install-test: $*" >&2
	exit 1
}

# bare_debian unpacks a Debian with nothing but its essential packages and systemd. It is made once.
bare_debian() {
	local suite mirror tar
	suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
	tar=bin/install-test/$suite.tar
	if [ ! -f "$tar" ]; then
		mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -1)
		mkdir -p "$(dirname "$tar")"
		mmdebstrap --quiet --format=tar --variant=minbase --include=systemd-sysv "$suite" "$tar.new" ${mirror:+"$mirror"}
		mv "$tar.new" "$tar"
	fi
	mkdir "$root"
	tar -C "$root" --exclude='./dev/*' -xf "$tar"
	rm -f "$root/etc/resolv.conf"
	echo bare >"$root/etc/hostname"
}

# boot starts the container's own systemd, and waits until it has started everything.
boot() {
	systemd-nspawn --quiet --directory="$root" --boot --private-network --register=no --keep-unit --console=pipe \
		</dev/null >"$work/console" 2>&1 &
	local spawn=$!
	for _ in $(seq 150); do
		leader=$(pgrep -P "$spawn" || true)
		if [ -n "$leader" ] && inside systemctl is-system-running --wait >/dev/null 2>&1; then return; fi
		# A bare system may call itself degraded, for want of a device or two. That does not matter here.
		if [ -n "$leader" ] && [ "$(inside systemctl is-system-running 2>/dev/null)" = degraded ]; then return; fi
		kill -0 "$spawn" 2>/dev/null || break
		sleep 0.2
	done
	cat "$work/console"
	die "the container did not boot"
}

# inside runs a command in the container.
inside() {
	nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup --root \
		env -i -C / HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# show LINE runs a line as a person would type it, in the container, and keeps it with its output. What it took is printed only.
show() {
	local at=${EPOCHREALTIME/./}
	echo "\$ $1" | tee -a "$transcript"
	inside bash -c "$1" 2>&1 | tee -a "$transcript"
	echo "    ($(seconds $((${EPOCHREALTIME/./} - at))))"
}

# seconds MICROSECONDS prints a duration.
seconds() { printf '%d.%02d s' $(($1 / 1000000)) $(($1 % 1000000 / 10000)); }

# settled FILE makes a transcript comparable: what differs with each run becomes a sample of its kind.
settled() {
	local escaped
	escaped=$(sed 's/[][().*^$+?{}|\\]/\\&/g' <<<"$version")
	sed -E \
		-e 's/evt_[0-9a-z]{20,}/evt_1kvcz4880000100000001/g; s/dlv_[0-9a-z]{20,}/dlv_1kvcz488000010000000100/g' \
		-e 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}/2026-11-22 09:06:27.850/g' \
		-e 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}/2026-11-22 09:06/g' \
		-e 's/^received [0-9:.]+/received 09:06:27.850/; s/ in [0-9.]+(µs|ms|s)$/ in 2.1ms/' \
		-e 's/test-[a-z2-7]{8}/test-k3v7q2ma/g; s#(/in/[a-z]+/[a-z]+/)[A-Za-z0-9_-]{16,}#\1SECRET#g' \
		-e "s/$escaped/VERSION/g; s/_(amd64|arm64)\\.deb/_amd64.deb/; s/\\((amd64|arm64)\\)/(amd64)/" \
		-e 's/^\(Reading database \.\.\. .*$/(Reading database ... )/; s/[[:space:]]+$//' \
		-e '/^debconf:|^perl: warning|^\(Reading database/d' "$1"
}

# follow_journal keeps the container's log, to be shown after a failure.
follow_journal() { (inside journalctl --no-pager -n 200 -f >"$work/journal" 2>/dev/null || true) & }

install_and_try() {
	show "dpkg -i /srv/${deb##*/}"
	show 'systemctl is-active carom.socket carom.service'
	(inside carom receive --listen 127.0.0.1:3000 >"$work/backend" 2>&1 || true) &
	echo '$ carom receive --listen 127.0.0.1:3000 # the backend, in a second terminal' | tee -a "$transcript"
	for _ in $(seq 50); do inside bash -c 'exec 3<>/dev/tcp/127.0.0.1/3000' 2>/dev/null && break || sleep 0.1; done
	show 'carom quickstart monetag --data /var/lib/carom --yes --app game --ymid view --backend http://127.0.0.1:3000/postback'
	show 'carom status --data /var/lib/carom'
	grep -q '^received .* GET /postback?ymid=test-' "$work/backend" || {
		cat "$work/backend"
		die "the backend did not receive the test postback"
	}
	echo 'The second terminal shows what arrived:' >"$work/arrived"
	grep '^received ' "$work/backend" | tee -a "$work/arrived"
}

# knock asks for a page again and again, with a new connection each time, and prints one line for each: the status or why
# there was none, and the milliseconds that it took. It ends when the file is gone.
knock='while [ -e /run/knocking ]; do
	at=${EPOCHREALTIME/./} status=refused
	if exec 3<>/dev/tcp/127.0.0.1/8080; then
		printf "GET /healthz HTTP/1.1\r\nHost: carom\r\nConnection: close\r\n\r\n" >&3
		if ! read -r -t 10 _ status _ <&3; then status=reset; fi
		exec 3<&-
	fi
	now=${EPOCHREALTIME/./}
	echo "$status $(((now - at) / 1000))"
done'

upgrade_under_traffic() {
	local before after all ok slowest
	before=$(inside systemctl show -p MainPID --value carom.service)
	inside touch /run/knocking
	inside bash -c "$knock" >"$work/knocks" 2>/dev/null &
	local knocking=$!
	inside dpkg -i "/srv/${deb##*/}" >"$work/upgrade" 2>&1 || {
		cat "$work/upgrade"
		die "the upgrade failed"
	}
	inside systemctl is-active --quiet carom.service
	inside rm /run/knocking
	wait "$knocking"
	after=$(inside systemctl show -p MainPID --value carom.service)
	all=$(wc -l <"$work/knocks")
	ok=$(grep -c '^200 ' "$work/knocks" || true)
	slowest=$(sort -k2,2n "$work/knocks" | tail -1 | cut -d' ' -f2)
	echo "upgrade: process $before became $after; $all requests meanwhile, $ok answered 200, the slowest after $slowest ms"
	[ "$before" != "$after" ] || die "the upgrade did not restart the service"
	[ "$all" -gt 0 ] && [ "$all" = "$ok" ] || die "an upgrade refused connections: $(sort "$work/knocks" | cut -d' ' -f1 | uniq -c | tr '\n' ' ')"
}

# open_to_the_world types what the page says about HTTPS. There is no network and so no certificate, but the doors are open.
open_to_the_world() {
	local commands units='carom-https.socket carom-http.socket carom.service'
	commands=$(sed -n '/^### HTTPS/,/^### /p' "$page" | sed -n '/^```sh/,/^```/p' | sed '/^```/d; s/sudo //g')
	[ -n "$commands" ] || die "$page says nothing of HTTPS"
	inside bash -ec "$commands" >"$work/doors" 2>&1 && inside systemctl is-active --quiet $units || {
		cat "$work/doors"
		die "the commands of $page for HTTPS do not work: $(inside systemctl is-active $units | tr '\n' ' ')"
	}
	inside bash -c 'exec 3<>/dev/tcp/127.0.0.1/443 4<>/dev/tcp/127.0.0.1/80
		printf "GET / HTTP/1.1\r\nHost: carom.example.com\r\nConnection: close\r\n\r\n" >&4
		read -r -t 10 _ status _ <&4 && [ "$status" = 308 ]' || die "port 80 does not send people to HTTPS"
	echo 'https: the doors at 80 and 443 are open, and people are sent to HTTPS'
}

# The unit is what it claims to be: verified by systemd itself, and hardly exposed.
judge_units() {
	inside systemd-analyze verify --man=no carom.service carom.socket carom-https.socket carom-http.socket carom-private.socket
	inside systemd-analyze security --no-pager --threshold=20 carom.service | tail -1
	[ "$(inside stat -c '%U %a' /var/lib/carom)" = 'carom 700' ] || die "/var/lib/carom is open to others"
	[ "$(inside stat -c '%U:%G %a' /etc/carom)" = 'root:carom 750' ] || die "/etc/carom is open to others"
	[ "$(inside stat -c '%U:%G %a' /etc/carom/secrets.key)" = 'root:carom 640' ] || die "/etc/carom/secrets.key is open to others"
	[ ! -e "$root/var/lib/carom/secrets.key" ] || die "the data folder has a key of its own beside that of the settings"
}

# idle measures the server when it has nothing to do, and the folder when there is next to nothing in it.
idle() {
	local pid
	pid=$(inside systemctl show -p MainPID --value carom.service)
	inside awk '/^VmRSS/ { printf "%.0f MB of memory, ", $2 / 1000 }' "/proc/$pid/status"
	inside du -s --block-size=1000 /var/lib/carom | awk '{ printf "%.1f MB of disk for the data, ", $1 / 1000 }'
	inside stat -c %s /usr/bin/carom | awk '{ printf "%.0f MB for the program\n", $1 / 1000000 }'
}

# remove says goodbye. What was paid to whom is kept.
remove() {
	inside dpkg --purge carom >"$work/purge" 2>&1 || {
		cat "$work/purge"
		die "the package cannot be removed"
	}
	[ -d "$root/var/lib/carom" ] || die "purging removed the data"
	[ ! -e "$root/etc/carom/settings.yaml" ] || die "purging left the settings"
	[ -e "$root/etc/carom/secrets.key" ] || die "purging removed the key of the data"
	if inside systemctl list-unit-files --no-legend 'carom*' | grep .; then die "purging left units"; fi
}

# between NAME prints the part of the page that this script writes, with replace FILE the page with another such part.
between() { sed -n "/^<!-- $1 begin/,/^<!-- $1 end/p" "$page" | sed '1d;$d'; }
replace() {
	awk -v name="$1" -v part="$2" '
		index($0, "<!-- " name " end") == 1 { skip = 0 }
		!skip { print }
		index($0, "<!-- " name " begin") == 1 { while ((getline line <part) > 0) print line; skip = 1 }' "$page" >"$work/page"
	cat "$work/page" >"$page"
}

deb=${DEB:-}
if [ -z "$deb" ]; then
	scripts/release.sh -targets "linux/$(go env GOARCH)" -out dist/install-test >/dev/null
	deb=$(echo dist/install-test/carom_*.deb)
fi
version=$(dpkg-deb -f "$deb" Version)

bare_debian
cp "$deb" "$root/srv/"
boot
follow_journal

started=${EPOCHREALTIME/./}
install_and_try
took=$(seconds $((${EPOCHREALTIME/./} - started)))
{
	echo '```console'
	settled "$transcript"
	printf '```\n\n'
	head -1 "$work/arrived"
	printf '\n```\n'
	sed 1d "$work/arrived" >"$work/lines"
	settled "$work/lines"
	echo '```'
} >"$work/part"

judge_units
idle | tee "$work/idle"
upgrade_under_traffic
open_to_the_world
remove
echo "install-test: ok; from dpkg -i to a delivered test postback in $took"

if [ "${1:-}" = --update ]; then
	replace transcript "$work/part"
	echo "Measured: $(<"$work/idle"). The commands below took $took." >"$work/measured"
	replace idle "$work/measured"
elif ! diff <(between transcript) "$work/part"; then
	die "$page is out of step; run scripts/install-test.sh --update and commit it"
fi
