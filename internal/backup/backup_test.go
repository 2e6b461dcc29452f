package backup_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"carom"
	"carom/internal/backup"
	"carom/internal/caromtest"
	"carom/internal/reward"
	"carom/internal/seal"
	"carom/internal/store"
)

// open opens a store that closes buckets and segments often, and runs it until the test or stop ends it.
func open(t *testing.T, dir string) (*store.Store, func()) {
	t.Helper()
	return openWith(t, dir, nil)
}

func openWith(t *testing.T, dir string, keys *seal.Ring) (*store.Store, func()) {
	t.Helper()
	s, err := store.Open(dir, store.Options{BucketEvents: 400, SegmentRewards: 150, Decide: reward.Decide, Keys: keys})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

// paid makes a paid view of a user, with a reward.
func paid(ymid string) *carom.Submission {
	sum := sha256.Sum256([]byte(ymid))
	now := time.Now()
	return &carom.Submission{
		Event: &carom.Event{
			App: "app", Source: "monetag", Network: "monetag", Type: carom.Click, Value: carom.Valued, YMID: ymid, ZoneID: "1", TelegramID: "42",
			Strength: carom.Secret, Received: carom.Received{At: now, Method: "GET", Path: "/in/app/monetag/***", RawQuery: "ymid=" + ymid},
		},
		Key:        carom.DedupeKey{Sum: [16]byte(sum[:16]), Window: carom.DefaultDedupeWindow},
		View:       carom.ViewClaim{Sum: [16]byte(sum[16:]), User: "42"},
		Candidates: []carom.Candidate{{Rule: "app/watch", At: now, Day: 20261122, Currency: "coins", Amount: 1_000_000_000}},
	}
}

// written makes a backup of s.
func written(t *testing.T, s *store.Store) ([]byte, backup.Manifest) {
	t.Helper()
	var b bytes.Buffer
	m, err := backup.Write(t.Context(), s, "v1", &b)
	if err != nil {
		t.Fatalf("Write: %v", err)
	}
	return b.Bytes(), m
}

func TestBackupUnderLoad(t *testing.T) {
	s, stop := open(t, filepath.Join(t.TempDir(), "data"))
	type acked struct {
		sub *carom.Submission
		at  time.Time
	}
	var mu sync.Mutex
	var all []acked
	ctx, cancel := context.WithCancel(t.Context())
	var senders sync.WaitGroup
	for i := range 4 {
		senders.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				sub := paid(fmt.Sprintf("s%d-%d", i, n))
				s.Accept(sub)
				if sub.Err != nil {
					t.Errorf("Accept: %v", sub.Err)
					return
				}
				mu.Lock()
				all = append(all, acked{sub, time.Now()})
				mu.Unlock()
			}
		})
	}
	have := func(n int) {
		caromtest.Until(t, fmt.Sprint(n, " events"), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(all) >= n
		})
	}
	type copied struct {
		data []byte
		m    backup.Manifest
	}
	var backups []copied
	for n := 400; n <= 1200; n += 400 {
		have(n)
		data, m := written(t, s)
		backups = append(backups, copied{data, m})
	}
	cancel()
	senders.Wait()
	stop()
	for i, b := range backups {
		dir := filepath.Join(t.TempDir(), "restored")
		got, err := backup.Restore(t.Context(), bytes.NewReader(b.data), dir, false, store.Options{})
		if err != nil {
			t.Fatalf("Restore %d: %v", i, err)
		}
		s, stop := open(t, dir)
		missing, before := 0, 0
		var old []acked
		for _, a := range all {
			if a.at.Before(b.m.At) {
				old = append(old, a)
			}
		}
		for some := range slices.Chunk(old, 200) {
			again := make([]*carom.Submission, len(some))
			for i, a := range some {
				again[i] = paid(a.sub.Event.YMID)
			}
			s.Accept(again...)
			for i, a := range some {
				before++
				if again[i].Err != nil || !again[i].Receipt.Duplicate || again[i].Receipt.ID != a.sub.Receipt.ID {
					missing++
				}
				if before%20 != 0 {
					continue
				}
				if st, err := s.Story(t.Context(), a.sub.Receipt.ID); err != nil || st.Event.YMID != a.sub.Event.YMID {
					missing++
				}
			}
		}
		if missing > 0 || before == 0 {
			t.Errorf("backup %d: %d of %d acknowledged before %v are missing", i, missing, before, b.m.At)
		}
		if got.Ledger.Rewards < int64(before) || len(got.Ledger.Faults) > 0 {
			t.Errorf("backup %d: ledger %+v, want at least %d rewards and no fault", i, got.Ledger, before)
		}
		fresh := paid("fresh")
		s.Accept(fresh)
		if slices.ContainsFunc(all, func(a acked) bool { return a.sub.Receipt.ID == fresh.Receipt.ID }) {
			t.Errorf("backup %d: the restored folder gave out %s again", i, fresh.Receipt.ID)
		}
		report, err := s.CheckLedger(t.Context())
		if err != nil || len(report.Faults) > 0 {
			t.Errorf("backup %d: ledger after the restore: %+v, %v", i, report, err)
		}
		stop()
	}
}

// small is a backup of a folder with closed buckets and segments.
func small(t *testing.T) []byte {
	t.Helper()
	s, stop := open(t, t.TempDir())
	for i := range 9 {
		subs := make([]*carom.Submission, 100)
		for j := range subs {
			subs[j] = paid(fmt.Sprint(i, "-", j))
		}
		s.Accept(subs...)
	}
	data, _ := written(t, s)
	stop()
	return data
}

// files lists a folder with the sums of its files.
func files(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	out := map[string][32]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = sha256.Sum256(data)
	}
	return out
}

// A backup that was cut off anywhere, or changed, is refused, and the folder stays as it was.
func TestDamagedBackups(t *testing.T) {
	data := small(t)
	dir := t.TempDir()
	s, stop := open(t, dir)
	s.Accept(paid("kept"))
	stop()
	before := files(t, dir)
	var cuts [][]byte
	for i := range 40 {
		cuts = append(cuts, data[:len(data)*i/40])
		changed := bytes.Clone(data)
		changed[len(data)*i/40] ^= 4
		cuts = append(cuts, changed)
	}
	cuts = append(cuts, data[:len(data)-1], nil, []byte("not a backup"), repacked(t, data, func(h *tar.Header, _ []byte) { h.Name = "../escape" }),
		repacked(t, data, func(h *tar.Header, _ []byte) {
			if h.Name == "carom.db" {
				h.Name = "index_99"
			}
		}),
		repacked(t, data, func(h *tar.Header, content []byte) {
			if h.Name == "carom.db" {
				content[len(content)/2] ^= 1
			}
		}))
	for i, cut := range cuts {
		if _, err := backup.Verify(t.Context(), bytes.NewReader(cut)); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("Verify(damaged %d) = %v, want carom.ErrInvalid", i, err)
		}
		if i%8 == 0 || i > 80 {
			if _, err := backup.Restore(t.Context(), bytes.NewReader(cut), dir, true, store.Options{}); !errors.Is(err, carom.ErrInvalid) ||
				!strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("Restore(damaged %d) = %v, want carom.ErrInvalid", i, err)
			}
		}
	}
	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Errorf("the folder after refused restores (-before +after):\n%s", diff)
	}
	if _, err := backup.Verify(t.Context(), bytes.NewReader(data)); err != nil {
		t.Errorf("Verify(whole) = %v", err)
	}
}

// repacked is a backup whose entries were altered.
func repacked(t *testing.T, data []byte, alter func(*tar.Header, []byte)) []byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var out bytes.Buffer
	packed, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	w, r := tar.NewWriter(packed), tar.NewReader(z)
	for h, err := r.Next(); err == nil; h, err = r.Next() {
		content := make([]byte, h.Size)
		if _, err := readFull(r, content); err != nil {
			t.Fatal(err)
		}
		alter(h, content)
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), packed.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func readFull(r *tar.Reader, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k, err := r.Read(p[n:])
		n += k
		if err != nil && n < len(p) {
			return n, err
		}
	}
	return n, nil
}

func TestRestoreRefuses(t *testing.T) {
	data := small(t)
	dir := t.TempDir()
	s, stop := open(t, dir)
	sub := paid("mine")
	s.Accept(sub)
	if _, err := backup.Restore(t.Context(), bytes.NewReader(data), dir, true, store.Options{}); !errors.Is(err, carom.ErrConflict) {
		t.Errorf("Restore onto a running server = %v, want carom.ErrConflict", err)
	}
	if story, err := s.Story(t.Context(), sub.Receipt.ID); err != nil || story.Event.YMID != "mine" {
		t.Errorf("after the refused restore: %v", err)
	}
	stop()
	if _, err := backup.Restore(t.Context(), bytes.NewReader(data), dir, false, store.Options{}); !errors.Is(err, carom.ErrConflict) {
		t.Errorf("Restore onto a folder with data = %v, want carom.ErrConflict", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "certificate"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := backup.Restore(t.Context(), bytes.NewReader(data), dir, true, store.Options{})
	if err != nil || got.Aside == "" {
		t.Fatalf("Restore with replace = %+v, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "certificate")); err != nil {
		t.Errorf("what is not the store's: %v, want it in its place", err)
	}
	for folder, want := range map[string]bool{dir: false, got.Aside: true} {
		s, stop := open(t, folder)
		again := paid("mine")
		s.Accept(again)
		if again.Err != nil || again.Receipt.Duplicate != want {
			t.Errorf("%s knows the event: %v, %v, want %v", folder, again.Receipt.Duplicate, again.Err, want)
		}
		stop()
	}
	if err := os.WriteFile(filepath.Join(dir, store.RestoringFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(dir, store.Options{}); !errors.Is(err, carom.ErrConflict) || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("Open after a restore that did not end = %v, want carom.ErrConflict", err)
	}
	if _, err := backup.Restore(t.Context(), bytes.NewReader(data), dir, true, store.Options{}); err != nil {
		t.Errorf("Restore again = %v", err)
	}
	open(t, dir)
}

// A folder's own key is in its backups: they restore anywhere. A key that the settings name is not: a backup tells no secret without it.
func TestTheKeyOfABackup(t *testing.T) {
	const token = "4242:token-of-the-bot"
	for name, keys := range map[string]*seal.Ring{"the folder's own": nil, "of the settings": ring(t), "older in front of the folder's own": ring(t)} {
		dir := filepath.Join(t.TempDir(), "data")
		if name == "older in front of the folder's own" { // which stays in the folder
			_, stop := open(t, dir)
			stop()
		}
		s, stop := openWith(t, dir, keys)
		if _, err := s.SetObjects(t.Context(), carom.Objects{Apps: []carom.App{{Name: "game", BotToken: token}}}); err != nil {
			t.Fatal(err)
		}
		data, m := written(t, s)
		stop()
		plain := unpacked(t, data)
		if strings.Contains(plain, token) || m.Key == "" || m.HasKey() != (keys == nil) || strings.Contains(plain, "# Opens") != (keys == nil) {
			t.Errorf("%s: sealed by %q, the key is in it: %v; the token shows: %v", name, m.Key, m.HasKey(), strings.Contains(plain, token))
		}
		if keys == nil {
			got, err := backup.Restore(t.Context(), bytes.NewReader(data), filepath.Join(t.TempDir(), "new"), false, store.Options{})
			if err != nil || got.Lacks != "" || got.Key != m.Key {
				t.Fatalf("%s: Restore = %+v, %v", name, got, err)
			}
			wantToken(t, got.Folder, nil, token)
			continue
		}
		got, err := backup.Restore(t.Context(), bytes.NewReader(data), filepath.Join(t.TempDir(), "without"), false, store.Options{})
		if err != nil || got.Lacks != m.Key {
			t.Fatalf("%s: Restore without the key = %+v, %v, want the id of the key that is missing", name, got, err)
		}
		if _, err := store.Open(got.Folder, store.Options{}); !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), m.Key) {
			t.Errorf("%s: Open without the key = %v, want its id", name, err)
		}
		wantToken(t, got.Folder, keys, token)
		if got, err := backup.Restore(t.Context(), bytes.NewReader(data), filepath.Join(t.TempDir(), "with"), false, store.Options{Keys: keys}); err != nil || got.Lacks != "" {
			t.Errorf("%s: Restore with the key = %+v, %v", name, got, err)
		}
	}
}

func ring(t *testing.T) *seal.Ring {
	t.Helper()
	keys, err := seal.Parse(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// unpacked is all that is in a backup.
func unpacked(t *testing.T, data []byte) string {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func wantToken(t *testing.T, dir string, keys *seal.Ring, token string) {
	t.Helper()
	s, stop := openWith(t, dir, keys)
	defer stop()
	if o, err := s.Objects(t.Context()); err != nil || len(o.Apps) != 1 || string(o.Apps[0].BotToken) != token {
		t.Errorf("the restored folder has %d apps, %v, want one with its token", len(o.Apps), err)
	}
}

// A backup of a release that sealed nothing has no key in it, and is of format 1.
func TestABackupOfAnEarlierFormat(t *testing.T) {
	s, stop := open(t, t.TempDir())
	s.Accept(paid("a"))
	data, _ := written(t, s)
	stop()
	var older bytes.Buffer
	z, err := zstd.NewWriter(&older)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(z, strings.Replace(unpacked(t, data), `"format": 2`, `"format": 1`, 1)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if m, err := backup.Verify(t.Context(), &older); err != nil || m.Format != 1 {
		t.Errorf("Verify = %+v, %v", m, err)
	}
}

// What reads too slowly, hangs up or is full ends a backup with an error, and the store goes on.
func TestBackupThatCannotBeWritten(t *testing.T) {
	s, _ := open(t, t.TempDir())
	s.Accept(paid("a"))
	if _, err := backup.Write(t.Context(), s, "v1", full{}); !errors.Is(err, errFull) {
		t.Errorf("Write to a full disk = %v, want its error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := backup.Write(ctx, s, "v1", &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Write for nobody = %v, want context.Canceled", err)
	}
	b := paid("b")
	if s.Accept(b); b.Err != nil {
		t.Errorf("Accept after it: %v", b.Err)
	}
	if data, _ := written(t, s); len(data) == 0 {
		t.Error("no backup after those that failed")
	}
}

var errFull = errors.New("no space left")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
