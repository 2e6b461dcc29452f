package store

import (
	"os"
	"path/filepath"
	"testing"

	"carom"
	"carom/internal/reward"
)

// A folder that is restored from yesterday's copy gives out no id again, however the copy is put back, and what it held
// before is still found.
func TestRestoredFolderReusesNoID(t *testing.T) {
	put := func(t *testing.T, from, to string, names ...string) {
		t.Helper()
		for _, name := range names {
			b, err := os.ReadFile(filepath.Join(from, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name    string
		restore func(t *testing.T, copied, dir string) string
	}{
		{"into a new folder", func(t *testing.T, copied, _ string) string {
			dir := t.TempDir()
			put(t, copied, dir, databaseFile, lifeFile, KeyFile)
			return dir
		}},
		{"over the files as they are", func(t *testing.T, copied, dir string) string {
			put(t, copied, dir, databaseFile, lifeFile)
			return dir
		}},
		{"the database alone, over itself", func(t *testing.T, copied, dir string) string {
			put(t, copied, dir, databaseFile)
			return dir
		}},
		{"the database and its key, into a new folder", func(t *testing.T, copied, _ string) string {
			dir := t.TempDir()
			put(t, copied, dir, databaseFile, KeyFile)
			return dir
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, copied := t.TempDir(), t.TempDir()
			opts := Options{Clock: newClock().now, Decide: reward.Decide, identity: identity}
			s, stop := open(t, dir, opts)
			before := map[string]bool{}
			kept := accept(t, s, earning("kept"))
			v := &carom.View{App: "app", User: "1", OpenedAt: noon, ExpiresAt: noon}
			if err := s.OpenView(t.Context(), v); err != nil {
				t.Fatal(err)
			}
			stop()
			put(t, dir, copied, databaseFile, lifeFile, KeyFile)

			s, stop = open(t, dir, opts) // a day goes by
			note := func(sub *carom.Submission, v *carom.View) {
				for _, id := range []string{string(sub.Receipt.ID), string(sub.Receipt.Decided[0].Reward.ID), string(v.ID), v.YMID} {
					if before[id] {
						t.Errorf("%s is given out twice", id)
					}
					before[id] = true
				}
			}
			for _, ymid := range []string{"lost1", "lost2"} {
				v := &carom.View{App: "app", User: "1", OpenedAt: noon, ExpiresAt: noon}
				if err := s.OpenView(t.Context(), v); err != nil {
					t.Fatal(err)
				}
				note(accept(t, s, earning(ymid)), v)
			}
			life := s.Incarnation()
			stop()

			r, _ := open(t, tt.restore(t, copied, dir), opts)
			if r.Incarnation() <= life {
				t.Errorf("the restored folder lives in %d, want a later life than %d", r.Incarnation(), life)
			}
			for _, ymid := range []string{"new1", "new2", "new3"} {
				v := &carom.View{App: "app", User: "1", OpenedAt: noon, ExpiresAt: noon}
				if err := r.OpenView(t.Context(), v); err != nil {
					t.Fatal(err)
				}
				note(accept(t, r, earning(ymid)), v)
			}
			wantCopy(t, r, earning("kept"), kept.Receipt.ID)
			if st, err := r.Story(t.Context(), kept.Receipt.ID); err != nil || st.Event.YMID != "kept" || st.Event.Decided[0].Reward.User != "42" {
				t.Errorf("the event from before the copy: %+v, %v", st, err)
			}
			if _, _, err := r.Reward(t.Context(), kept.Receipt.Decided[0].Reward.ID); err != nil {
				t.Errorf("the reward from before the copy: %v", err)
			}
			if got, err := r.View(t.Context(), v.ID); err != nil || got.YMID != v.YMID {
				t.Errorf("the view from before the copy: %+v, %v", got, err)
			}
		})
	}
}

// A folder that was not restored goes on with its life, after a clean stop and after a crash.
func TestSameFolderKeepsItsLife(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{identity: identity})
	life := s.Incarnation()
	if err := s.control(t.Context(), s.remark); err != nil {
		t.Fatal(err)
	}
	stop()
	for range 2 {
		s, stop = open(t, dir, Options{identity: identity})
		if s.Incarnation() != life {
			t.Errorf("the life is %d after a restart, want %d", s.Incarnation(), life)
		}
		stop()
	}
}

// earning makes an event that earns a reward.
func earning(ymid string) *carom.Submission {
	sub := submission(ymid, noon)
	sub.View = carom.ViewClaim{Sum: carom.SumOf("view", ymid), User: sub.Event.TelegramID}
	sub.Candidates = []carom.Candidate{{Rule: "app/watch", At: noon, Currency: "coins", Amount: 5_000_000_000}}
	return sub
}
