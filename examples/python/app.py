"""The backend of an app, as small as it can be and still pay each view once: a receiver of what carom sends, and one of an
ad network's own postbacks.

It keeps three tables in a SQLite file: the balances, the views that were paid, and the deliveries that were granted.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import signal  # only for the tests
import sqlite3
import sys
import time
from contextlib import closing, contextmanager

from flask import Flask, request

# The price is ours. An amount is never taken from a URL: whoever finds out the URL would choose it.
COINS_PER_VIEW = 5

# The app shows each ad with a fresh ymid: the user's id, a dot, and something random. With the bare user's id as ymid, a
# copy could not be told from the next view.
YMID = re.compile(r"([A-Za-z0-9_-]{1,64})\.[A-Za-z0-9_-]{8,64}")

# No secret, no server: a check against an empty secret lets everybody in. There is no default either.
CAROM_SECRET = os.environ.get("CAROM_SECRET", "")
CAROM_SECRET_PREVIOUS = os.environ.get("CAROM_SECRET_PREVIOUS", "")  # while the secret is being replaced
NETWORK_SECRET = os.environ.get("NETWORK_SECRET", "")
if len(CAROM_SECRET) < 16 or len(NETWORK_SECRET) < 16:
    sys.exit("set CAROM_SECRET and NETWORK_SECRET, each to 16 characters or more")

RULES_IN_CAROM = os.environ.get("CAROM_RULES") == "on"
DATABASE = os.environ.get("DATABASE", "app.db")
TABLES = """
    CREATE TABLE IF NOT EXISTS balances (user TEXT PRIMARY KEY, coins INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS paid_views (zone TEXT, ymid TEXT, PRIMARY KEY (zone, ymid));
    CREATE TABLE IF NOT EXISTS carom_granted (id TEXT PRIMARY KEY);
"""

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 256 * 1024
# No rate limiter in front of these two routes: its 429 for a burst of real postbacks only makes them come again.


@contextmanager
def transaction():
    """One transaction that writes: committed at its end, rolled back by any exception."""
    # Another request may be writing: wait for it up to five seconds instead of failing at once. Without an isolation_level
    # the module begins and ends nothing by itself.
    with closing(sqlite3.connect(DATABASE, timeout=5, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")


@app.post("/carom")
def carom():
    """What carom sends: POST, JSON, signed by the Standard Webhooks convention."""
    # The signature covers the bytes, so they are taken raw: JSON that was parsed and written again has others.
    body = request.get_data()
    if not is_from_carom(request.headers, body):
        return "", 403
    postback = json.loads(body)
    data = postback["data"]
    if data.get("test"):  # a test of the operator's
        return "", 200
    reward = data.get("reward")
    # A reward counts once, by whatever deliveries it comes; its reversal is another booking.
    key = f"{reward['id']} {reward['state']}" if reward else request.headers["Webhook-Id"]
    # The mark of the delivery and the coins are in one transaction: after a crash between them there is neither, and the
    # next attempt pays. Of two copies in parallel the second waits for the first. Whatever is raised is answered 500 by
    # Flask, so that carom sends it again.
    with transaction() as db:
        if db.execute("INSERT INTO carom_granted (id) VALUES (?) ON CONFLICT DO NOTHING", (key,)).rowcount == 1:
            grant(db, postback["type"], data, reward)
    crash_at("before_answer")  # only for the tests
    return "", 200  # after the commit: answered before it, an error would lose the coins


def is_from_carom(headers, body):
    sent_id = headers.get("Webhook-Id", "")
    timestamp = headers.get("Webhook-Timestamp", "")
    # A dot in the id could be moved between the signed parts. Five minutes are for clocks that differ.
    if not re.fullmatch(r"[^.]+", sent_id) or not re.fullmatch(r"[0-9]{1,12}", timestamp):
        return False
    if abs(time.time() - int(timestamp)) > 300:
        return False
    sent = headers.get("Webhook-Signature", "").split(" ")  # several while the secret is being replaced
    for secret in filter(None, (CAROM_SECRET, CAROM_SECRET_PREVIOUS)):
        key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
        digest = hmac.digest(key, f"{sent_id}.{timestamp}.".encode() + body, "sha256")
        signature = "v1," + base64.b64encode(digest).decode()
        if any(equal(s, signature) for s in sent):
            return True
    return False


def equal(a, b):
    """Takes as long wherever two texts differ, and whatever their lengths are."""
    return hmac.compare_digest(hashlib.sha256(a.encode()).digest(), hashlib.sha256(b.encode()).digest())


def grant(db, kind, data, reward):
    # Pay by the rules in carom or by the events, never by both.
    if RULES_IN_CAROM:
        if kind in ("reward.granted", "reward.reversed"):
            book_reward(db, reward)
    elif kind in ("event.impression", "event.click") and data["reward_event_type"] == "valued":
        pay_view(db, data["zone_id"], data["ymid"])


def book_reward(db, reward):
    """Books what carom's rules decided. A reversal is a booking of its own, so it does not matter which comes first."""
    if reward["currency"] != "coins" or not re.fullmatch(r"[0-9]{1,9}", reward["amount"]):
        # Better repeated, and seen in carom's status, than rounded to something.
        raise ValueError(f"reward {reward['id']} is not in whole coins")
    coins = int(reward["amount"])
    crash_at("after_mark")  # only for the tests
    add_coins(db, reward["user"], -coins if reward["state"] == "reversed" else coins)
    crash_at("after_grant")  # only for the tests


@app.get("/postback")
def postback():
    """What the network itself sends, with this URL at the network:

    https://HOST/postback?secret=SECRET&ymid={ymid}&zone_id={zone_id}&event_type={event_type}&reward_event_type={reward_event_type}
    """
    # Nothing else proves where this comes from.
    if not equal(request.args.get("secret", ""), NETWORK_SECRET):
        return "", 403
    # From here on it comes from the network. Whatever is settled is answered 200, paid or not: any other answer to something
    # that is as it should be (a copy, an unpaid view) has the network send it again and again.
    for name, values in request.args.lists():
        if len(values) > 1:
            return answer(f"ignored: the parameter {name} came twice")
    if request.args.get("event_type") not in ("impression", "click"):
        return answer("ignored: unknown event_type")
    # Paid for is `valued` and nothing else: not what is missing, and not what is unknown. It is looked at before the view is
    # marked, so that an unpaid event which comes first does not use up the ymid.
    if request.args.get("reward_event_type") != "valued":
        return answer("ignored: not valued")
    try:
        with transaction() as db:
            said = pay_view(db, request.args.get("zone_id", ""), request.args.get("ymid", ""))
    except sqlite3.Error:
        # Now the network should send it again. A 200 here would lose the user's coins.
        app.logger.exception("postback")
        return "", 503
    crash_at("before_answer")  # only for the tests
    return answer(said)


def answer(text):
    return text + "\n", 200, {"Content-Type": "text/plain; charset=utf-8"}


def pay_view(db, zone, ymid):
    """Pays for a view, once. It runs in a transaction, which the mark and the coins share."""
    match = YMID.fullmatch(ymid)
    if not match:  # also an unfilled "{ymid}", and none at all
        return "ignored: the ymid is not one that the app made"
    # The impression and the click of one view have one ymid, and pay once: so the event type is not part of the key. Ids of
    # two zones may be equal: so the zone is. Inserting, not asking first: two copies in parallel would both find nothing.
    insert = "INSERT INTO paid_views (zone, ymid) VALUES (?, ?) ON CONFLICT DO NOTHING"
    if db.execute(insert, (zone, ymid)).rowcount == 0:
        return "OK, paid before"
    crash_at("after_mark")  # only for the tests
    add_coins(db, match[1], COINS_PER_VIEW)
    crash_at("after_grant")  # only for the tests
    return "OK"


def add_coins(db, user, coins):
    # Whole coins, and one statement: who reads the balance first and writes it then loses one of two that come together.
    db.execute(
        "INSERT INTO balances (user, coins) VALUES (?, ?) ON CONFLICT (user) DO UPDATE SET coins = coins + excluded.coins",
        (user, coins),
    )


# tests: begin
def crash_at(point):
    """Ends this process as a power cut would when CRASH_AT names the given point."""
    if os.environ.get("CRASH_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)


# tests: end


with closing(sqlite3.connect(DATABASE, timeout=5)) as setup:
    setup.executescript(TABLES)

if __name__ == "__main__":
    # Flask's own server is for trying it out. In production: gunicorn app:app
    app.run("127.0.0.1", int(os.environ.get("PORT", "3000")))
