package store

import (
	"testing"

	"carom"
)

// A folder of the version before opens, with what is in it, and takes new events: in the open bucket and in closed ones.
func TestBucketsOfAnOlderVersion(t *testing.T) {
	dir := t.TempDir()
	opts := Options{BucketEvents: 3, Clock: newClock().now}
	s, stop := open(t, dir, opts)
	subs := acceptSingly(t, s, "a", 5)
	stop()
	w, err := openWriter(s.dir+"/"+databaseFile, 1)
	if err != nil {
		t.Fatal(err)
	}
	statements := []string{"UPDATE buckets SET version = 1"}
	for _, column := range []string{"user_id", "also", "view", "decided", "origin"} {
		for _, bucket := range []string{"1", "2"} {
			statements = append(statements, "ALTER TABLE events_"+bucket+" DROP COLUMN "+column)
		}
	}
	for _, statement := range statements {
		if err := w.exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		s, stop = open(t, dir, opts)
		for _, sub := range subs {
			wantCopy(t, s, submission(sub.Event.YMID, noon), sub.Receipt.ID)
			if st, err := s.Story(t.Context(), sub.Receipt.ID); err != nil || st.Event.YMID != sub.Event.YMID || st.Event.UserID != "" {
				t.Errorf("Story(%s) = %+v, %v", sub.Receipt.ID, st, err)
			}
		}
		stop()
	}
	s, _ = open(t, dir, opts)
	accept(t, s, signed("new", "s", noon))
	if got, err := s.Events(t.Context(), carom.EventFilter{User: "user of new"}); err != nil || len(got) != 1 {
		t.Errorf("events of the new user: %d, %v, want 1", len(got), err)
	}
}
