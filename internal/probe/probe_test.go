package probe

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const fullQuery = "?token=" + secret + "&ymid={ymid}&zone={zone_id}&label={request_var}&event_type={event_type}&reward_event_type={reward_event_type}&estimated_price={estimated_price}"

// probe runs against a receiver, with its books or without.
func probed(t *testing.T, m mistakes, query string, books bool) *Report {
	t.Helper()
	srv := newReceiver(t, m)
	o := Options{Settle: 60 * time.Millisecond, Timeout: 5 * time.Second, Run: "t", hungUp: srv.hungUp}
	if m.slow {
		o.Timeout = 100 * time.Millisecond
	}
	if books {
		b, err := NewURLBooks(srv.URL+"/balance/{user}", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		o.Books = b
	}
	report, err := Run(t.Context(), Target{URL: srv.URL + "/postback" + query}, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// failed are the ids of the checks that failed or warn.
func failed(r *Report) []string {
	var ids []string
	for _, c := range r.Checks {
		if c.Verdict == Fail || c.Verdict == Warn {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func TestRightReceivers(t *testing.T) {
	for name, m := range map[string]mistakes{
		"pays coins":                   {},
		"pays the price within bounds": {byPrice: true},
	} {
		for _, books := range []bool{true, false} {
			for _, query := range []string{fullQuery, "?token=" + secret} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					report := probed(t, m, query, books)
					if ids := failed(report); len(ids) > 0 || books && report.Count(Unknown) > 0 {
						t.Errorf("found %q in a right receiver (books %v, %s):\n%s", ids, books, query, text(t, report))
					}
				})
			}
		}
	}
}

// TestKindsOfYMID: a right receiver is right in each way of looking at its users, and a wrong one is found out.
func TestKindsOfYMID(t *testing.T) {
	for name, tt := range map[string]struct {
		m      mistakes
		target Target
		checks []string
	}{
		"user":                        {mistakes{byLabel: true}, Target{YMID: "user"}, nil},
		"user, known by the ymid":     {mistakes{}, Target{YMID: "user"}, []string{"second-view"}},
		"session":                     {mistakes{byLabel: true}, Target{YMID: "session"}, nil},
		"a user that it knows":        {mistakes{}, Target{User: "ann"}, nil},
		"a user, and it pays both":    {mistakes{paysBoth: true}, Target{User: "ann"}, []string{"impression-and-click"}},
		"a user, and it marks unpaid": {mistakes{marksUnpaid: true}, Target{User: "ann"}, []string{"unpaid-first"}},
		"ymids of another form":       {mistakes{}, Target{YMIDFormat: "{user}.v-{id}"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newReceiver(t, tt.m)
			b, err := NewURLBooks(srv.URL+"/balance/{user}", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			tt.target.URL = srv.URL + "/postback" + fullQuery
			r, err := Run(t.Context(), tt.target, Options{Books: b, Settle: 30 * time.Millisecond, hungUp: srv.hungUp})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.checks, failed(r)); diff != "" {
				t.Errorf("checks that failed or warn (-want +got):\n%s\n%s", diff, text(t, r))
			}
		})
	}
}

func TestWrongReceivers(t *testing.T) {
	for name, tt := range map[string]struct {
		m      mistakes
		bare   bool // a URL without macros
		blind  bool // without books too, the same is found
		harms  []Harm
		checks []string
	}{
		"no secret check":     {m: mistakes{noSecret: true}, harms: []Harm{OpenDoor}, blind: true, checks: []string{"secret-forged", "secret-empty", "secret-missing"}},
		"optional secret":     {m: mistakes{optionalSecret: true}, harms: []Harm{OpenDoor}, blind: true, checks: []string{"secret-empty", "secret-missing"}},
		"409 for a copy":      {m: mistakes{duplicate: 409}, harms: []Harm{Repeats, LosesOnRetry}, blind: true, checks: []string{"duplicate", "duplicates-parallel", "impression-and-click", "broken-connection"}},
		"429 for a copy":      {m: mistakes{duplicate: 429}, harms: []Harm{Repeats, LosesOnRetry}, blind: true, checks: []string{"duplicate", "duplicates-parallel", "impression-and-click", "broken-connection"}},
		"pays copies":         {m: mistakes{paysCopies: true}, harms: []Harm{PaysTwice, PaysBoth}, checks: []string{"duplicate", "duplicates-parallel", "impression-and-click", "broken-connection"}},
		"asks, then marks":    {m: mistakes{races: true}, harms: []Harm{PaysTwice}, checks: []string{"duplicates-parallel"}},
		"pays both events":    {m: mistakes{paysBoth: true}, harms: []Harm{PaysBoth}, checks: []string{"impression-and-click"}},
		"marks unpaid":        {m: mistakes{marksUnpaid: true}, harms: []Harm{Loses}, checks: []string{"unpaid-first"}},
		"pays unpaid":         {m: mistakes{paysUnpaid: true}, harms: []Harm{PaysUnpaid, PaysMacros}, checks: []string{"unpaid-words", "unknown-word", "no-value", "literal-value"}},
		"pays unknown words":  {m: mistakes{paysAlien: true}, harms: []Harm{PaysUnpaid, PaysMacros}, checks: []string{"unknown-word", "no-value", "literal-value"}},
		"knows only event":    {m: mistakes{onlyEvent: true}, bare: true, harms: []Harm{Words}, checks: []string{"paid-event"}},
		"400 for yes":         {m: mistakes{rejectsYes: true}, blind: true, harms: []Harm{Repeats}, checks: []string{"paid-words"}},
		"rounds to cents":     {m: mistakes{byPrice: true, cents: true}, harms: []Harm{LosesCents}, checks: []string{"price-tiny"}},
		"any amount":          {m: mistakes{byPrice: true, anyAmount: true, negative: true}, harms: []Harm{PaysAmounts}, checks: []string{"price-huge", "price-negative"}},
		"debits":              {m: mistakes{byPrice: true, negative: true}, harms: []Harm{PaysAmounts}, checks: []string{"price-negative"}},
		"books NaN":           {m: mistakes{byPrice: true, wordPrice: true}, harms: []Harm{PaysAmounts}, checks: []string{"price-word"}},
		"floats":              {m: mistakes{byPrice: true, floats: true}, harms: []Harm{Floats}, checks: []string{"price-exact"}},
		"literal macro":       {m: mistakes{literal: true}, harms: []Harm{PaysMacros}, checks: []string{"literal-ymid"}},
		"catch-all page":      {m: mistakes{catchAll: true}, blind: true, harms: []Harm{CatchAll}, checks: []string{"unknown-path"}},
		"a hang-up loses":     {m: mistakes{hangUpLoses: true}, harms: []Harm{LosesOnRetry}, checks: []string{"broken-connection"}},
		"overwrites":          {m: mistakes{overwrites: true}, harms: []Harm{Loses}, checks: []string{"views-parallel"}},
		"redirects to itself": {m: mistakes{redirect: true}, blind: true, harms: []Harm{Unreachable}, checks: []string{"redirect"}},
		"rate limiter":        {m: mistakes{limit: 70}, blind: true, harms: []Harm{Limits}, checks: []string{"burst"}},
		"early rate limiter":  {m: mistakes{limit: 20}, blind: true, harms: []Harm{Limits}, checks: []string{"burst"}},
		"never answers":       {m: mistakes{slow: true}, blind: true, harms: []Harm{Slow}, checks: []string{"answered"}},
		"breaks at quotes":    {m: mistakes{breaks: true}, blind: true, harms: []Harm{Breaks}, checks: []string{"awkward-ymid"}},
		"compressed unasked":  {m: mistakes{compressed: true}, blind: true, harms: []Harm{Repeats}, checks: []string{"answer-plain"}},
		"never pays":          {m: mistakes{neverPays: true}, harms: []Harm{Loses}, checks: []string{"paid-event"}},
	} {
		query := fullQuery
		if tt.bare {
			query = "?token=" + secret
		}
		for _, books := range []bool{true, false} {
			if !books && !tt.blind {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				report := probed(t, tt.m, query, books)
				if diff := cmp.Diff(slices.Sorted(slices.Values(tt.harms)), slices.Sorted(slices.Values(report.Harms()))); diff != "" {
					t.Errorf("faults (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.checks, failed(report)); diff != "" {
					t.Errorf("checks that failed or warn, books %v (-want +got):\n%s\n%s", books, diff, text(t, report))
				}
			})
		}
	}
}
