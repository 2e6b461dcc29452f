#!/usr/bin/env bash
# Makes one of the archives beside this script: a data folder as a released carom left it when it was killed.
#
#   make.sh BINARY NAME [rules]
#
# BINARY is the carom of that release; with `rules` it knows rewards. The folder has a closed bucket and an open one, postbacks that
# were delivered, that wait, that were refused and that proved nothing. migrate_test.go says what has to be in it after an upgrade.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binary=$1 name=$2 rules=${3:-}
work=$(mktemp -d)
trap 'kill -9 $server $receiver 2>/dev/null || true; rm -rf "$work"' EXIT
cat >"$work/carom.yaml" <<YAML
apps:
  game:
    sources:
      ads: { profile: monetag, secret: an-old-secret-of-the-test-0123456789 }
    endpoints:
      up: { url: "http://127.0.0.1:7081/?ymid={ymid}", allow_private: true }
      down: { url: "http://127.0.0.1:1/?ymid={ymid}", allow_private: true }
YAML
if [ "$rules" = rules ]; then
	cat >>"$work/carom.yaml" <<YAML
    currencies: { coins: 0 }
    rules:
      watch: { filter: { sources: [ads], event_types: [click] }, price: 5 coins }
YAML
fi
"$binary" receive --listen 127.0.0.1:7081 >/dev/null 2>&1 &
receiver=$!
"$binary" serve --data "$work/data" --listen 127.0.0.1:7080 --bucket-events 1000 >"$work/log" 2>&1 &
server=$!
for _ in $(seq 50); do curl -fs http://127.0.0.1:7080/readyz >/dev/null && break || sleep 0.1; done
"$binary" apply --yes -f "$work/carom.yaml" --data "$work/data" >/dev/null
door=http://127.0.0.1:7080/in/game/ads/an-old-secret-of-the-test-0123456789
seq 0 1099 | sed "s|.*|url = \"$door?ymid=old-&\&event_type=click\&reward_event_type=valued\&zone_id=1\&telegram_id=42\&estimated_price=0.001\"\noutput = /dev/null|" |
	curl -fs --parallel --parallel-max 8 -K -
curl -sS -o /dev/null "$door?zone_id=1&event_type=click"                # refused: it names nobody
curl -sS -o /dev/null "http://127.0.0.1:7080/in/game/ads/wrong?ymid=x" # proves nothing
sleep 2
kill -9 $server
tar -C "$work/data" --sort=name --owner=0 --group=0 --mtime=2026-01-01 --exclude='*.sock' --exclude=carom.lock --exclude='*-shm' -cf - . | zstd -q -f -19 -o "$here/$name.tar.zst"
ls -l "$here/$name.tar.zst"
