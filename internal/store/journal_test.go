package store

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"carom"
	"carom/internal/tables"
)

func refused(app, source string, at time.Time) *carom.Refused {
	return &carom.Refused{
		App: app, Source: source, Network: "monetag", Reason: carom.ReasonNoIdentity, Detail: "neither ymid nor telegram_id: send one",
		Received: carom.Received{At: at, Method: "POST", Path: "/in/" + app + "/" + source + "/***", RawQuery: "event=click",
			ContentType: "application/json", Header: []carom.Field{{Name: "User-Agent", Value: "x"}}, Body: []byte("{}"),
			Client: netip.MustParseAddr("203.0.113.9")},
	}
}

func refuse(t testing.TB, s *Store, r *carom.Refused) *carom.Refused {
	t.Helper()
	if err := s.Refuse(r); err != nil {
		t.Fatalf("Refuse: %v", err)
	}
	return r
}

// A flood next to accepted events costs no more than a few sample rows per second: they do not go with every commit.
func TestUnverifiedDoNotGoWithEveryCommit(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{Clock: newClock().now})
	const commits = 200
	for i := range commits {
		for range tables.SamplesPerFlush {
			s.Unverified(carom.Unverified{App: "app", Source: "monetag", Reason: carom.ReasonWrongSecret, Received: carom.Received{At: noon}})
		}
		accept(t, s, submission(fmt.Sprint(i), noon))
	}
	var rows int
	if err := s.r.QueryRow(`SELECT count(*) FROM unverified`).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if rows >= tables.SampleSlots {
		t.Errorf("%d commits wrote %d samples or more", commits, rows)
	}
}
