package store

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// pages returns all ids that f selects, page by page.
func pages(t testing.TB, s *Store, f carom.EventFilter) []carom.EventID {
	t.Helper()
	var ids []carom.EventID
	for {
		list, err := s.Events(t.Context(), f)
		if err != nil {
			t.Fatalf("Events(%+v): %v", f, err)
		}
		if len(list) > f.Limit {
			t.Fatalf("Events(%+v) returned %d", f, len(list))
		}
		for _, ev := range list {
			ids = append(ids, ev.ID)
		}
		if len(list) == 0 {
			return ids
		}
		f.Before = list[len(list)-1].ID
	}
}

// What is found in indexes, in maps that wait to be sealed and in the open bucket is one list.
func TestSearchInSealedWaitingAndOpenBuckets(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{BucketEvents: 40})
	var all []*carom.Event // newest first
	fill := func() {
		t.Helper()
		for range 150 {
			i := len(all)
			sub := submission(strconv.Itoa(i), noon.Add(time.Duration(i)*time.Second))
			sub.Event.YMID, sub.Event.TelegramID, sub.Event.ZoneID = "view"+strconv.Itoa(i%90), strconv.Itoa(i%4), strconv.Itoa(i%3)
			accept(t, s, sub)
			all = slices.Insert(all, 0, sub.Event)
		}
	}
	fill()
	s.seal()
	s.houseMu.Lock()
	defer s.houseMu.Unlock()
	fill()
	for _, f := range []carom.EventFilter{{}, {YMID: "view3"}, {User: "2"}, {Zone: "2"}, {Zone: "1", User: "3"}} {
		var want []carom.EventID
		for _, ev := range all {
			if (f.YMID == "" || f.YMID == ev.YMID) && (f.User == "" || f.User == ev.TelegramID) && (f.Zone == "" || f.Zone == ev.ZoneID) {
				want = append(want, ev.ID)
			}
		}
		for _, f.Limit = range []int{7, 1000} {
			if diff := cmp.Diff(want, pages(t, s, f)); diff != "" {
				t.Errorf("Events(%+v), page by page (-want +got):\n%s", f, diff)
			}
		}
	}
}

func TestFindOpenStartsBelowItsCursor(t *testing.T) {
	k := newOpenKeys(1000)
	for seq := uint32(1); seq <= 1000; seq++ {
		if seq%3 != 0 { // some have none
			k.addSearch(strconv.Itoa(int(seq%7)), "", "", seq)
		}
	}
	for before := uint32(0); before < 1010; before += 13 {
		var want []uint32
		for seq := int(before) - 1; seq >= 1 && len(want) < 5; seq-- {
			if seq <= 1000 && seq%3 != 0 && seq%7 == 4 {
				want = append(want, uint32(seq))
			}
		}
		if diff := cmp.Diff(want, findOpen(&k.search[searchYMID], "4", before, 5)); diff != "" {
			t.Errorf("findOpen below %d (-want +got):\n%s", before, diff)
		}
	}
}
