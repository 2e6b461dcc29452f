package storetest

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"carom"
)

func refused(app, source string, at time.Time) *carom.Refused {
	return &carom.Refused{
		App: app, Source: source, Network: "monetag", Reason: carom.ReasonNoIdentity, Detail: "neither ymid nor telegram_id: send one",
		Received: carom.Received{At: at, Method: "POST", Path: "/in/" + app + "/" + source + "/***", RawQuery: "event=click",
			ContentType: "application/json", Header: []carom.Field{{Name: "User-Agent", Value: "x"}}, Body: []byte("{}"),
			Client: netip.MustParseAddr("203.0.113.9")},
	}
}

func refuse(t testing.TB, s *world, r *carom.Refused) *carom.Refused {
	t.Helper()
	if err := s.Refuse(r); err != nil {
		t.Fatalf("Refuse: %v", err)
	}
	return r
}

func refusedAreKeptAndPaged(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 4})
	var want []*carom.Refused
	for i := range 15 {
		r := refused([]string{"app", "app2"}[i%2], []string{"monetag", "admob", "unity"}[i%3], s.tick())
		if i%5 == 0 {
			r.Reason = carom.ReasonLiteralMacro
		}
		want = append([]*carom.Refused{refuse(t, s, r)}, want...)
		accept(t, s, submission(fmt.Sprint(i), s.tick())) // closes buckets, where there are some
	}
	s.restart(t)
	early, late := want[11].Received.At, want[3].Received.At
	for _, f := range []carom.RefusedFilter{
		{}, {App: "app"}, {App: "app2", Source: "unity"}, {Source: "admob"}, {App: "nobody"}, {Reason: carom.ReasonLiteralMacro}, {Reason: carom.ReasonTooLarge},
		{From: early}, {To: late}, {From: early, To: late, App: "app", Reason: carom.ReasonNoIdentity}, {From: late, To: late.Add(time.Millisecond)}, {From: late, To: late},
		{To: noon.Add(-time.Hour)}, {From: s.now().Add(time.Hour)},
	} {
		var got, wanted []*carom.Refused
		for _, r := range want {
			if (f.App == "" || f.App == r.App) && (f.Source == "" || f.Source == r.Source) && (f.Reason == "" || f.Reason == r.Reason) &&
				!r.Received.At.Before(f.From) && (f.To.IsZero() || r.Received.At.Before(f.To)) {
				wanted = append(wanted, r)
			}
		}
		f.Limit = 2
		for {
			page, err := s.Refused(t.Context(), f)
			if err != nil {
				t.Fatalf("Refused: %v", err)
			}
			if len(page) == 0 {
				break
			}
			if got = append(got, page...); len(got) > len(want) {
				t.Fatalf("Refused(%+v) repeats some", f)
			}
			f.Before = page[len(page)-1].ID
		}
		if diff := cmp.Diff(wanted, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("Refused(%+v), page by page (-want +got):\n%s", f, diff)
		}
	}
	for _, id := range []carom.ReceivedID{"rcv_x", carom.NewReceivedID(1, carom.Ref{Bucket: 1, Seq: 1})} {
		if _, err := s.Refused(t.Context(), carom.RefusedFilter{Before: id}); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("Refused before %s: %v, want carom.ErrInvalid", id, err)
		}
	}
	if got := outcomes(t, s)[carom.OutcomeRefused+":"+string(carom.ReasonNoIdentity)]; got != 12 {
		t.Errorf("%d refused ones counted, want 12", got)
	}
}

// The bounds of the sample of unverified requests.
const (
	sampleSlots     = 200  // of a source
	samplesPerFlush = 10   // of a source, by what is written at a time
	sampleBytes     = 2048 // of query and of body, each
)

// The sample is bounded and follows what is new; the counts are exact.
func unverifiedSampleIsBounded(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	const rounds, flood = 25, 500
	for range rounds { // each ends with the start of the next, by which at least one flush was made
		for range flood {
			s.advance(time.Second)
			s.Unverified(carom.Unverified{App: "app", Source: "monetag", Reason: carom.ReasonWrongSecret, Received: carom.Received{
				At: s.now(), Method: "GET", Path: "/in/app/monetag/***", RawQuery: strings.Repeat("q", 10_000), Body: make([]byte, 10_000)}})
		}
		s.Unverified(carom.Unverified{Reason: carom.ReasonUnknownApp, Received: carom.Received{At: s.now()}})
		s.restart(t)
	}
	list, err := s.UnverifiedSample(t.Context(), "app", "monetag", 1000)
	if err != nil || len(list) != sampleSlots {
		t.Fatalf("the sample of app/monetag holds %d, %v, want %d", len(list), err, sampleSlots)
	}
	for i, v := range list {
		if v.App != "app" || v.Source != "monetag" || v.Reason != carom.ReasonWrongSecret || len(v.Received.RawQuery) != sampleBytes || len(v.Received.Body) != sampleBytes {
			t.Fatalf("sample %d = %s/%s, %s, %d bytes of query, %d of body", i, v.App, v.Source, v.Reason, len(v.Received.RawQuery), len(v.Received.Body))
		}
		if i > 0 && v.Received.At.After(list[i-1].Received.At) {
			t.Errorf("sample %d is newer than the one before it", i)
		}
	}
	if oldest := list[len(list)-1].Received.At; oldest.Before(noon.Add((rounds - sampleSlots/samplesPerFlush) * flood * time.Second)) {
		t.Errorf("the oldest of the sample is of %s: newer ones should have replaced it", oldest)
	}
	unknown, err := s.UnverifiedSample(t.Context(), "", "", 1000)
	if err != nil || len(unknown) != sampleSlots+rounds {
		t.Errorf("the whole sample holds %d, %v, want %d", len(unknown), err, sampleSlots+rounds)
	}
	want := map[string]int64{"unverified:wrong_secret": rounds * flood, "unverified:unknown_app": rounds}
	if diff := cmp.Diff(want, outcomes(t, s)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// The sample that a key of one app may see is that app's, whatever its name holds.
func unverifiedSampleOfOneApp(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	for _, app := range []string{"a_b", "axb", "a_bc"} {
		s.Unverified(carom.Unverified{App: app, Source: "monetag", Reason: carom.ReasonWrongSecret, Received: carom.Received{At: noon}})
	}
	s.restart(t)
	list, err := s.UnverifiedSample(t.Context(), "a_b", "", 10)
	if err != nil || len(list) != 1 || list[0].App != "a_b" {
		t.Errorf("the sample of a_b: %d, %v, want its own one", len(list), err)
	}
}
