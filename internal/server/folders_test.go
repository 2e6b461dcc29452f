package server_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"carom"
	"carom/internal/api"
	"carom/internal/caromtest"
	"carom/internal/reconcile"
)

// A folder that any earlier release left behind when it was killed opens, and everything is in it: see make.sh beside the archives.
func TestFoldersOfEarlierReleases(t *testing.T) {
	caromtest.NeedsFolder(t)
	archives, err := filepath.Glob("../store/testdata/folders/*.tar.zst")
	if err != nil || len(archives) < 3 {
		t.Fatalf("archives: %v, %v", archives, err)
	}
	for _, archive := range archives {
		name := strings.TrimSuffix(filepath.Base(archive), ".tar.zst")
		t.Run(name, func(t *testing.T) {
			data := caromtest.Folder(t)
			extract(t, archive, data)
			server := caromtest.Start(t, caromtest.Options{Data: data})
			checkEarlier(t, server, name)
			server.Restart(t)
			checkEarlier(t, server, name)
			if file := holds(t, data, "127.0.0.1:7081/?ymid={ymid}"); file != "" {
				t.Errorf("%s holds a template of an endpoint as it is", file)
			}
		})
	}
}

func checkEarlier(t *testing.T, server *caromtest.Server, name string) {
	t.Helper()
	var stats struct {
		Counts []carom.Count `json:"counts"`
	}
	server.Get(t, "/v1/stats?from=2026-01-01T00:00:00Z", &stats)
	n := map[string]int64{}
	for _, c := range stats.Counts {
		n[c.Outcome] += c.N
	}
	if n["accepted"] != 1100 || n["refused:no_identity"] != 1 {
		t.Errorf("counts %v, want 1,100 accepted and 1 refused", n)
	}
	for _, i := range []int{0, 500, 999, 1000, 1099} {
		ymid := fmt.Sprintf("old-%d", i)
		for range 2 {
			events := server.Events(t, "ymid="+ymid)
			if len(events) != 1 || events[0].TelegramID != "42" {
				t.Fatalf("events of %s: %+v, want one", ymid, events)
			}
			// The network repeats it: it is still known.
			a := caromtest.Do(t, "GET", server.URL+"/in/game/ads/an-old-secret-of-the-test-0123456789?ymid="+ymid+
				"&event_type=click&reward_event_type=valued&zone_id=1&telegram_id=42&estimated_price=0.001", "")
			if a.Status != 200 {
				t.Fatalf("the repeat of %s was answered %d %s", ymid, a.Status, a.Body)
			}
		}
	}
	day := time.Unix(0, 0)
	for _, ev := range server.Events(t, "ymid=old-0") {
		day = ev.At
	}
	var report reconcile.Report
	server.Get(t, "/v1/reconcile?app=game&day_zone=UTC&from="+day.AddDate(0, 0, -1).Format(time.DateOnly)+"&to="+day.AddDate(0, 0, 1).Format(time.DateOnly), &report)
	accepted := int64(0)
	for _, row := range report.Rows {
		accepted += row.Accepted
	}
	if accepted != 1100 {
		t.Errorf("the report by day has %d accepted, want 1,100", accepted)
	}
	down := server.Story(t, "old-3").Deliveries
	states := map[string]carom.DeliveryState{}
	for _, d := range down {
		states[d.Endpoint] = d.State
	}
	if states["game/up"] != carom.Delivered || states["game/down"] != carom.Pending {
		t.Errorf("deliveries %v, want one delivered and one that waits", states)
	}
	if refused := server.Received(t, "refused"); len(refused) != 1 {
		t.Errorf("refused: %+v, want one", refused)
	}
	if name < "schema-3" {
		return
	}
	var balances api.BalanceList
	server.Get(t, "/v1/balances?app=game&user=42", &balances)
	if len(balances.Balances) != 1 || balances.Balances[0].Amount != "5500" {
		t.Errorf("balances %+v, want 5500 coins", balances)
	}
	var ledger carom.LedgerReport
	server.Get(t, "/v1/ledger/check", &ledger)
	if len(ledger.Faults) > 0 || ledger.Rewards != 1100 {
		t.Errorf("ledger %+v, want 1,100 rewards and no fault", ledger)
	}
}

// extract unpacks an archive into a folder.
func extract(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it is only read
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(h.Name)), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
