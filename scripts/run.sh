#!/usr/bin/env bash
# Starts a server to play with, and a receiver as its endpoint, in the folder run/; says what to try; stops both on Ctrl-C.
# The first run writes the objects file and the secrets; later ones use them again. Remove the folder to begin anew.
#
# PORT is the server's port (8080), RECEIVER_PORT the receiver's (the next one), RUN_DIR the folder, CAROM the binary.
set -euo pipefail
cd "$(dirname "$0")/.."

port=${PORT:-8080}
receiver_port=${RECEIVER_PORT:-$((port + 1))}
dir=${RUN_DIR:-run}
carom=${CAROM:-bin/carom}

if [ ! -x "$carom" ]; then
	make --no-print-directory build
fi

# in_use PORT says whether a program of this machine listens there.
in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# ready says whether a server answers at the local socket: status exits with 3 when none does, with 0 or 1 when one does.
ready() {
	local code=0
	"$carom" status --data "$dir/data" >/dev/null 2>&1 || code=$?
	[ "$code" -lt 2 ]
}

if ready; then
	echo "make run: it runs already, with the folder $dir. Stop it first, with Ctrl-C in its terminal." >&2
	exit 1
fi
if in_use "$port"; then
	echo "make run: the port $port is in use by another program. Take another one: PORT=$((port + 10)) make run" >&2
	exit 1
fi
if in_use "$receiver_port"; then
	echo "make run: the receiver's port $receiver_port is in use by another program. Take another one: RECEIVER_PORT=$((receiver_port + 10)) make run" >&2
	exit 1
fi

# new_secret FILE makes a secret of 160 random bits that only its owner can read, once.
new_secret() {
	if [ ! -s "$1" ]; then
		(umask 077 && od -An -v -N20 -tx1 /dev/urandom | tr -d ' \n' >"$1")
	fi
}

mkdir -p "$dir"
new_secret "$dir/monetag.secret"
new_secret "$dir/own-names.secret"
if [ ! -e "$dir/carom.yaml" ]; then
	cat >"$dir/carom.yaml" <<-EOF
		# The objects of make run. The server reads this file again whenever it changes; docs/endpoints.md has all keys.
		apps:
		  example:
		    # What rules pay in, and the one rule: five coins for each view that the network pays for, once.
		    currencies: { coins: 0 }
		    rules:
		      watch:
		        filter: { event_types: [impression, click] }
		        price: 5 coins
		    sources:
		      # Monetag with the names of its documentation, and those seen in the wild.
		      monetag:
		        profile: monetag
		        ymid: view
		        secret_file: monetag.secret
		      # Monetag with names of the publisher's own, taken from the URL template that is entered there.
		      own-names:
		        profile: monetag
		        ymid: view
		        template: "?uid={ymid}&source={request_var}&event={event_type}"
		        secret_file: own-names.secret
		    endpoints:
		      receiver:
		        url: "http://127.0.0.1:$receiver_port/postback?ymid={ymid}&zone_id={zone_id}&sub_zone_id={sub_zone_id}&request_var={request_var}&telegram_id={telegram_id}&event_type={event_type}&reward_event_type={reward_event_type}&estimated_price={estimated_price}&event_id={event_id}&delivery_id={delivery_id}"
		        allow_private: true # it is on this machine
		      # Is told of rewards, when they are credited and when they are taken back.
		      rewards:
		        sends: rewards
		        url: "http://127.0.0.1:$receiver_port/reward?reward_id={reward_id}&reward_state={reward_state}&reward_amount={reward_amount}&reward_currency={reward_currency}&reward_user={reward_user}&delivery_id={delivery_id}&test={test}"
		        allow_private: true
	EOF
fi
# The receiver's port may differ from that of the last run.
sed "s#http://127\.0\.0\.1:[0-9]*/\(postback\|reward\)?#http://127.0.0.1:$receiver_port/\1?#" "$dir/carom.yaml" >"$dir/carom.yaml.new"
if cmp -s "$dir/carom.yaml" "$dir/carom.yaml.new"; then
	rm "$dir/carom.yaml.new"
else
	mv "$dir/carom.yaml.new" "$dir/carom.yaml"
fi

server='' receiver='' stopping=''
stop() {
	trap '' INT TERM HUP
	for pid in $server $receiver; do # the server first: what it has in hand still reaches the receiver
		kill -TERM "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}
trap 'stopping=yes' INT TERM HUP
trap stop EXIT

# Each of the two gets a process group of its own, so that Ctrl-C reaches this script alone, which stops them in order.
set -m
"$carom" receive --listen "127.0.0.1:$receiver_port" </dev/null &
receiver=$!
"$carom" serve --config "$dir/carom.yaml" --data "$dir/data" --listen "127.0.0.1:$port" </dev/null &
server=$!
set +m

until [ -n "$stopping" ] || ready; do
	if ! kill -0 "$server" 2>/dev/null; then
		exit 1 # it has said why
	fi
	sleep 0.1 || true # Ctrl-C ends it
done
if ! kill -0 "$receiver" 2>/dev/null; then
	exit 1 # it has said why
fi

# Until somebody has signed in, a link makes the first operator. The server has printed one too, further up.
link=$("$carom" setup-link --data "$dir/data" -o json 2>/dev/null | sed -n 's/.*"url": *"\([^"]*\)".*/\1/p') || true
dashboard="The dashboard: http://127.0.0.1:$port/"
if [ -n "$link" ]; then
	dashboard="The dashboard, with a link that makes you its operator and counts once:

  $link"
fi

url="http://127.0.0.1:$port/in/example/monetag/$(<"$dir/monetag.secret")"
echo "
carom runs with the app \"example\": two Monetag sources, and the receiver in this terminal as endpoint.
Send it the postback that Monetag documents, from a second terminal:

  curl '$url?ymid=user123&event=click&zone_id=8790478&request_var=bonus-btn'

It answers OK, and the receiver prints what it was sent. Then look at:

  $carom show --data $dir/data --ymid user123    the whole story of that view
  $carom show --data $dir/data                   the newest events
  $carom status --data $dir/data                 is money being lost, and what to do
  $carom tail --data $dir/data                   events as they are accepted

Let it pay a user. Send this twice, or with event=click: the view pays once.

  curl '$url?ymid=view-1&event=impression&value=valued&telegram_id=279058397&zone_id=8790478'
  $carom rewards --data $dir/data --app example
  $carom balance --data $dir/data --app example 279058397

More to try: docs/start-publisher.md. The objects are in $dir/carom.yaml. Ctrl-C stops everything.

$dashboard
"

code=0
while [ -z "$stopping" ] && kill -0 "$server" 2>/dev/null; do
	wait "$server" && code=0 || code=$?
done
if [ -z "$stopping" ]; then
	echo "make run: the server ended by itself" >&2
	exit $((code > 0 ? code : 1))
fi
stop
trap - EXIT
echo "stopped; make run starts it again with the same secrets"
