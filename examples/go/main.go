// Command go is the backend of an app, as small as it can be and still pay each view once: a receiver of what carom sends,
// and one of an ad network's own postbacks.
//
// It keeps three tables in a SQLite file: the balances, the views that were paid, and the deliveries that were granted. Tests
// of this repository start it, kill it half-way, and look at the balances.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"regexp"
	"time"

	_ "modernc.org/sqlite"

	"carom"
	"carom/receiver"
)

// The price is ours. An amount is never taken from a URL: whoever finds out the URL would choose it.
const coinsPerView = 5

// The app shows each ad with a fresh ymid: the user's id, a dot, and something random. With the bare user's id as ymid, a
// copy could not be told from the next view.
var ymidPattern = regexp.MustCompile(`^([A-Za-z0-9_-]{1,64})\.[A-Za-z0-9_-]{8,64}$`)

const tables = `
	CREATE TABLE IF NOT EXISTS balances (user TEXT PRIMARY KEY, coins INTEGER NOT NULL);
	CREATE TABLE IF NOT EXISTS paid_views (zone TEXT, ymid TEXT, PRIMARY KEY (zone, ymid));`

type app struct {
	db            *sql.DB
	networkSecret string
	rulesInCarom  bool
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	// No secret, no server: a check against an empty secret lets everybody in. There is no default either.
	caromSecret, networkSecret := os.Getenv("CAROM_SECRET"), os.Getenv("NETWORK_SECRET")
	if len(caromSecret) < 16 || len(networkSecret) < 16 {
		return errors.New("set CAROM_SECRET and NETWORK_SECRET, each to 16 characters or more")
	}
	secrets := []string{caromSecret}
	if previous := os.Getenv("CAROM_SECRET_PREVIOUS"); previous != "" { // while the secret is being replaced
		secrets = append(secrets, previous)
	}
	// Two requests may write at the same time: the later one waits for up to five seconds instead of failing at once.
	db, err := sql.Open("sqlite", "file:"+env("DATABASE", "app.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	marks := receiver.NewSQL(db, receiver.SQLite)
	if err := marks.Create(context.Background()); err != nil {
		return err
	}
	if _, err := db.Exec(tables); err != nil {
		return err
	}
	a := &app{db: db, networkSecret: networkSecret, rulesInCarom: os.Getenv("CAROM_RULES") == "on"}

	// Verifies, decodes, and calls grant in a transaction in which the delivery is already marked.
	fromCarom, err := receiver.New(receiver.Options{Secrets: secrets}, marks, a.grant)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	// No rate limiter in front of these two: its 429 for a burst of real postbacks only makes them come again.
	mux.Handle("/carom", fromCarom)
	mux.HandleFunc("GET /postback", a.postback)
	var root http.Handler = mux
	root = crashBeforeAnswer(mux) // only for the tests
	server := &http.Server{Addr: "127.0.0.1:" + env("PORT", "3000"), Handler: root, ReadTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// grant pays for what carom sends, in the transaction that also marks the delivery. An error rolls back both and makes
// carom send it again; nil is for everything that is settled, also for what is not paid.
func (a *app) grant(ctx context.Context, tx *sql.Tx, p receiver.Postback) error {
	// Pay by the rules in carom or by the events, never by both.
	if a.rulesInCarom {
		if p.Reward == nil {
			return nil
		}
		return reward(ctx, tx, p.Reward)
	}
	if p.Reward != nil || (p.Type != carom.Impression && p.Type != carom.Click) || p.Value != carom.Valued {
		return nil
	}
	_, err := payView(ctx, tx, p.ZoneID, p.YMID)
	return err
}

// reward books what carom's rules decided. A reversal is a booking of its own, so it does not matter which of the two comes
// first.
func reward(ctx context.Context, tx *sql.Tx, r *receiver.Reward) error {
	const unit = 1_000_000_000
	if r.Currency != "coins" || r.Amount%unit != 0 {
		// Better repeated, and seen in carom's status, than rounded to something.
		return fmt.Errorf("reward %s is not in whole coins", r.ID)
	}
	coins := int64(r.Amount / unit)
	if r.State == carom.RewardReversed {
		coins = -coins
	}
	crashAt("after_mark") // only for the tests
	err := addCoins(ctx, tx, r.User, coins)
	crashAt("after_grant") // only for the tests
	return err
}

// postback takes what the network itself sends, with this URL at the network:
//
//	https://HOST/postback?secret=SECRET&ymid={ymid}&zone_id={zone_id}&event_type={event_type}&reward_event_type={reward_event_type}
func (a *app) postback(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	// Nothing else proves where this comes from. The sums are compared, so that the time tells neither content nor length.
	sent, want := sha256.Sum256([]byte(query.Get("secret"))), sha256.Sum256([]byte(a.networkSecret))
	if subtle.ConstantTimeCompare(sent[:], want[:]) != 1 {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	// From here on it comes from the network. Whatever is settled is answered 200, paid or not: any other answer to something
	// that is as it should be (a copy, an unpaid view) has the network send it again and again.
	for name, values := range query {
		if len(values) > 1 {
			answer(w, "ignored: the parameter "+name+" came twice")
			return
		}
	}
	eventType := query.Get("event_type")
	if eventType != "impression" && eventType != "click" {
		answer(w, "ignored: unknown event_type")
		return
	}
	// Paid for is `valued` and nothing else: not what is missing, and not what is unknown. It is looked at before the view is
	// marked, so that an unpaid event which comes first does not use up the ymid.
	if query.Get("reward_event_type") != "valued" {
		answer(w, "ignored: not valued")
		return
	}
	said, err := a.payViewOnce(r.Context(), query.Get("zone_id"), query.Get("ymid"))
	if err != nil {
		// Now the network should send it again. A 200 here would lose the user's coins.
		log.Printf("postback: %v", err)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	answer(w, said)
}

func (a *app) payViewOnce(ctx context.Context, zone, ymid string) (said string, err error) {
	tx, err := a.db.BeginTx(ctx, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = tx.Rollback() }() // nothing, after the commit
	if said, err = payView(ctx, tx, zone, ymid); err != nil {
		return "", err
	}
	return said, tx.Commit()
}

// payView pays for a view, once. The mark and the coins are in one transaction: after a crash between them there is neither,
// and the next copy pays.
func payView(ctx context.Context, tx *sql.Tx, zone, ymid string) (said string, err error) {
	match := ymidPattern.FindStringSubmatch(ymid)
	if match == nil { // also an unfilled "{ymid}", and an ad that was shown without one
		return "ignored: the ymid is not one that the app made", nil
	}
	// The impression and the click of one view have one ymid, and pay once: so the event type is not part of the key. Ids of
	// two zones may be equal: so the zone is. Inserting, not asking first: two copies in parallel would both find nothing.
	result, err := tx.ExecContext(ctx, "INSERT INTO paid_views (zone, ymid) VALUES (?, ?) ON CONFLICT DO NOTHING", zone, ymid)
	if err != nil {
		return "", err
	}
	if marked, err := result.RowsAffected(); err != nil || marked == 0 {
		return "OK, paid before", err
	}
	crashAt("after_mark") // only for the tests
	err = addCoins(ctx, tx, match[1], coinsPerView)
	crashAt("after_grant") // only for the tests
	return "OK", err
}

func addCoins(ctx context.Context, tx *sql.Tx, user string, coins int64) error {
	// Whole coins, and one statement: who reads the balance first and writes it then loses one of two that come together.
	_, err := tx.ExecContext(ctx, `INSERT INTO balances (user, coins) VALUES (?, ?)
		ON CONFLICT (user) DO UPDATE SET coins = coins + excluded.coins`, user, coins)
	return err
}

func answer(w http.ResponseWriter, text string) { _, _ = fmt.Fprintln(w, text) } // who is gone asks again

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
