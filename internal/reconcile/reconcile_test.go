package reconcile

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := LoadZone("day_zone", name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func days(t testing.TB, first, last, name string) *Days {
	t.Helper()
	d, err := NewDays(first, last, zone(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDaysBeginWhereTheyBegin(t *testing.T) {
	for _, tt := range []struct {
		name, zone, day string
		want            []string // the beginning of the day and of the next one, UTC
	}{
		{"UTC", "UTC", "2026-03-29", []string{"2026-03-29 00:00", "2026-03-30 00:00"}},
		{"23 hours", "Europe/Berlin", "2026-03-29", []string{"2026-03-28 23:00", "2026-03-29 22:00"}},
		{"25 hours", "Europe/Berlin", "2026-10-25", []string{"2026-10-24 22:00", "2026-10-25 23:00"}},
		{"three quarters of an hour", "Asia/Kathmandu", "2026-03-29", []string{"2026-03-28 18:15", "2026-03-29 18:15"}},
		{"the clock is set forward at midnight", "Africa/Cairo", "2026-04-24", []string{"2026-04-23 22:00", "2026-04-24 21:00"}},
		{"the clock is set back at midnight", "Africa/Cairo", "2026-10-29", []string{"2026-10-28 21:00", "2026-10-29 22:00"}},
		{"the clock is set back to midnight", "America/Havana", "2026-11-01", []string{"2026-11-01 04:00", "2026-11-02 05:00"}},
		{"a day that was skipped is empty", "Pacific/Apia", "2011-12-30", []string{"2011-12-30 10:00", "2011-12-30 10:00"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, at := range days(t, tt.day, tt.day, tt.zone).Bounds() {
				got = append(got, at.Format("2006-01-02 15:04"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("bounds of %s in %s (-want +got):\n%s", tt.day, tt.zone, diff)
			}
		})
	}
}

func TestDaysThatCannotBe(t *testing.T) {
	for _, span := range [][2]string{{"2026-03-02", "2026-03-01"}, {"2026-02-30", "2026-03-01"}, {"", ""}, {"2020-01-01", "2026-01-01"}} {
		if _, err := NewDays(span[0], span[1], time.UTC); err == nil {
			t.Errorf("NewDays(%q, %q) has no error", span[0], span[1])
		}
	}
	for _, name := range []string{"Local", "Mars/Olympus", "../etc/passwd"} {
		if _, err := LoadZone("day_zone", name); err == nil {
			t.Errorf("LoadZone(%q) has no error", name)
		}
	}
}

// at makes a count of the source at a moment.
func at(when, zone, eventType, value, outcome string, n, nanos int64) carom.QuarterCount {
	t, err := time.Parse("2006-01-02 15:04", when)
	if err != nil {
		panic(err) // a mistake in the test
	}
	return carom.QuarterCount{At: t, App: "game", Source: "ads", Zone: zone, EventType: eventType, Value: value, Outcome: outcome, N: n, Nanos: nanos}
}

func impressions(when, zone, outcome string, n int64) carom.QuarterCount {
	return at(when, zone, "impression", "valued", outcome, n, n*1_000_000)
}

func stated(day, zone string, impressions int64, revenue carom.Nanos) carom.StatementRow {
	return carom.StatementRow{Day: day, Zone: zone, Impressions: &impressions, Revenue: carom.Price{Nanos: revenue, Set: true}}
}

func byDay(rows ...carom.StatementRow) map[string][]carom.StatementRow {
	out := map[string][]carom.StatementRow{}
	for _, r := range rows {
		out[r.Day] = append(out[r.Day], r)
	}
	return out
}

// explained are the explanations of a balance in short.
func explained(b *DayBalance) string {
	var parts []string
	for _, e := range b.Explained {
		text := string(e.Cause)
		if e.Reason != "" {
			text += ":" + e.Reason
		}
		parts = append(parts, fmt.Sprintf("%s %d", text, e.N))
	}
	return strings.Join(parts, ", ")
}

func compare(t testing.TB, c *Case) Comparison {
	t.Helper()
	c.App, c.Source, c.Prices, c.Now = "game", "ads", "USD", time.Date(2026, 4, 2, 0, 0, 0, 0, time.UTC)
	out, err := Compare(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestADifferenceIsExplained(t *testing.T) {
	got := compare(t, &Case{
		Days:   days(t, "2026-03-01", "2026-03-01", "UTC"),
		Stated: byDay(stated("2026-03-01", "7", 1000, 1_000_000_000)),
		Counts: []carom.QuarterCount{
			impressions("2026-03-01 10:00", "7", "accepted", 800), impressions("2026-03-01 11:15", "7", "unmatched", 50),
			at("2026-03-01 10:00", "7", "impression", "not_valued", "accepted", 60, 0),
			impressions("2026-03-01 10:00", "7", "duplicate", 40), impressions("2026-03-01 10:00", "7", "duplicate_late", 10),
			at("2026-03-01 10:00", "7", "impression", "unknown", "held", 5, 0), impressions("2026-03-01 10:00", "7", "held", 5),
			at("2026-03-01 10:00", "", "", "", "refused:literal_macro", 15, 0), at("2026-03-01 10:00", "", "", "", "unverified:wrong_secret", 10, 0),
			at("2026-03-01 10:00", "", "", "", "reward:granted:watch", 800, 0),
			impressions("2026-02-28 10:00", "7", "accepted", 999),
		},
	})
	want := "duplicate_late 10, duplicate 40, refused:literal_macro 15, held_unknown_value 5, held_frozen 5, unverified:wrong_secret 10, not_valued 60"
	if text := explained(&got.Total); text != want || got.Total.Difference != 150 || got.Total.Unexplained != 5 || got.Total.Percent != "15.0" {
		t.Errorf("difference %d (%s %%), explained by %s, unexplained %d, want 150 (15.0 %%) by %s and 5", got.Total.Difference, got.Total.Percent,
			text, got.Total.Unexplained, want)
	}
	if got.Total.OurMoney != "0.85" || got.Total.MoneyDifference != "0.15" || got.Total.UnexplainedMoney != "0.07" {
		t.Errorf("money: ours %s, difference %s, unexplained %s, want 0.85, 0.15, 0.07", got.Total.OurMoney, got.Total.MoneyDifference, got.Total.UnexplainedMoney)
	}
	if len(got.Zones) != 1 || got.Zones[0].Explained != 120 {
		t.Errorf("zones %+v, want one of which 120 are explained", got.Zones)
	}
}

func TestEachCauseIsFound(t *testing.T) {
	hours := func(day string, from, to int, n int64) (out []carom.QuarterCount) {
		for h := from; h < to; h++ {
			out = append(out, impressions(fmt.Sprintf("%s %02d:00", day, h), "7", "accepted", n))
		}
		return out
	}
	join := func(lists ...[]carom.QuarterCount) (out []carom.QuarterCount) {
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	for _, tt := range []struct {
		name, zone, last string
		stated           []carom.StatementRow
		counts           []carom.QuarterCount
		want             string // of both days
		unexplained      int64
		propose          string
	}{
		{
			"days of another time zone", "UTC", "2026-03-02",
			[]carom.StatementRow{stated("2026-03-01", "7", 240, 0), stated("2026-03-02", "7", 480, 0)}, // of UTC-5
			join(hours("2026-03-01", 0, 5, 100), hours("2026-03-01", 5, 24, 10), hours("2026-03-02", 0, 5, 10), hours("2026-03-02", 5, 24, 20), hours("2026-03-03", 0, 5, 20)),
			"time_zone -450; time_zone 0", 0, "Etc/GMT+5",
		},
		{
			"a quarter of an hour after midnight", "UTC", "2026-03-02",
			[]carom.StatementRow{stated("2026-03-01", "7", 245, 0), stated("2026-03-02", "7", 235, 0)},
			join(hours("2026-03-01", 0, 24, 10), hours("2026-03-02", 0, 24, 10)),
			"midnight 5; midnight -5", 0, "",
		},
		{
			"hours without anything", "UTC", "2026-03-01",
			[]carom.StatementRow{stated("2026-03-01", "7", 245, 0)},
			join(hours("2026-03-01", 0, 10, 10), hours("2026-03-01", 13, 24, 10)),
			"outage 30", 5, "",
		},
		{
			"reversals", "UTC", "2026-03-01",
			[]carom.StatementRow{stated("2026-03-01", "7", 90, 0)},
			[]carom.QuarterCount{impressions("2026-03-01 10:00", "7", "accepted", 100), at("2026-03-01 12:00", "7", "reversal", "empty", "accepted", 7, 0)},
			"reversed -7", -3, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := compare(t, &Case{Days: days(t, "2026-03-01", tt.last, tt.zone), Stated: byDay(tt.stated...), Counts: tt.counts})
			var parts []string
			for i := range got.Days {
				parts = append(parts, explained(&got.Days[i]))
			}
			text := strings.Join(parts, "; ")
			if tt.propose == "" && text != tt.want || got.Total.Unexplained != tt.unexplained || got.Propose != tt.propose {
				t.Errorf("explained by %q, unexplained %d, proposed %q, want %q, %d, %q", text, got.Total.Unexplained, got.Propose, tt.want, tt.unexplained, tt.propose)
			}
		})
	}
}

// TestBooksAddUp: whatever is counted and stated, what is explained and what is not are the difference, by day and in all.
func TestBooksAddUp(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	outcomes := []string{"accepted", "unmatched", "duplicate", "duplicate_late", "conflict", "held", "refused:too_large", "refused:no_identity", "unverified:stale"}
	zones := []string{"Europe/Berlin", "Asia/Kathmandu", "UTC", "America/New_York", "Pacific/Chatham"}
	for round := range 300 {
		first, last := "2026-03-27", "2026-03-31" // Berlin sets its clocks forward within
		d := days(t, first, last, zones[round%len(zones)])
		c := &Case{Days: d, Stated: map[string][]carom.StatementRow{}}
		for i := range d.Len() {
			if r.IntN(6) == 0 {
				continue
			}
			for z := range 3 {
				n, valued := r.Int64N(300), r.Int64N(200)
				row := stated(d.Name(i), fmt.Sprint(z), n, carom.Nanos(r.Int64N(1e12)-1e11))
				if row.Valued = &valued; r.IntN(2) == 0 {
					row.Valued = nil
				}
				c.Stated[row.Day] = append(c.Stated[row.Day], row)
			}
		}
		for range r.IntN(400) {
			outcome := outcomes[r.IntN(len(outcomes))]
			q := carom.QuarterCount{
				At: d.Bounds()[0].Add(time.Duration(r.IntN(7*96)-96) * 15 * time.Minute), Zone: fmt.Sprint(r.IntN(4)), Outcome: outcome, N: r.Int64N(40),
				EventType: []string{"impression", "click", "reversal"}[r.IntN(3)], Value: []string{"valued", "not_valued", "empty", "unknown"}[r.IntN(4)],
				Units: r.Int64N(20), Nanos: r.Int64N(1e12),
			}
			if strings.Contains(outcome, ":") {
				q.Zone, q.EventType, q.Value, q.Units, q.Nanos = "", "", "", 0, 0
			}
			c.Counts = append(c.Counts, q)
		}
		if round%3 == 0 {
			rate, err := ParseRate("1.0842")
			if err != nil {
				t.Fatal(err)
			}
			c.Currency, c.Rate = "EUR", &rate
		}
		if len(c.Stated) == 0 {
			continue
		}
		checkSums(t, round, compare(t, c))
	}
}

func checkSums(t *testing.T, round int, got Comparison) {
	t.Helper()
	money := func(text string) Money {
		if text == "" {
			return Money{}
		}
		m, err := parseMoney(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return m
	}
	var theirs, ours, rest int64
	for i, b := range append([]DayBalance{got.Total}, got.Days...) {
		n, m := b.Unexplained, money(b.UnexplainedMoney)
		for _, e := range b.Explained {
			n, m = n+e.N, m.plus(money(e.Money))
		}
		if n != b.Difference || b.Difference != b.Theirs-b.Ours || m != money(b.MoneyDifference) || m != money(b.TheirMoney).minus(money(b.OurMoney)) {
			t.Fatalf("round %d, %q: explained and unexplained are %d and %s, the difference is %d and %s", round, b.Day, n, m, b.Difference, b.MoneyDifference)
		}
		if i > 0 {
			theirs, ours, rest = theirs+b.Theirs, ours+b.Ours, rest+b.Unexplained
		}
	}
	if theirs != got.Total.Theirs || ours != got.Total.Ours || rest != got.Total.Unexplained {
		t.Fatalf("round %d: the days are %d, %d, %d in all, the total says %+v", round, theirs, ours, rest, got.Total)
	}
}

func parseMoney(text string) (Money, error) {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	var units, nanos int64
	if _, err := fmt.Sscan(whole, &units); err != nil {
		return Money{}, err
	}
	if _, err := fmt.Sscanf(fraction+"000000000"[len(fraction):], "%d", &nanos); err != nil {
		return Money{}, err
	}
	m := MoneyOf(units, nanos)
	if strings.HasPrefix(text, "-") {
		m = m.negative()
	}
	return m, nil
}

func TestMoney(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{MoneyOf(0, -1).String(), "-0.000000001"},
		{MoneyOf(-1, 500_000_000).String(), "-0.5"},
		{MoneyOf(3, 2_500_000_000).String(), "5.5"},
		{MoneyOf(1, 0).minus(MoneyOf(0, 1)).String(), "0.999999999"},
		{MoneyOf(10, 0).share(1, 3).String(), "3.333333333"},
		{percent(130, 1000), "13.0"}, {percent(-1, 3), "-33.3"}, {percent(2, 3), "66.7"}, {percent(1, 0), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
	rate, err := ParseRate("1.0842")
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := rate.convert(MoneyOf(100, 1)); !ok || m.String() != "108.420000001" {
		t.Errorf("100.000000001 at 1.0842 is %s", m)
	}
	for _, bad := range []string{"", "0", "-1", "1,08", "1.0000000001", "x"} {
		if _, err := ParseRate(bad); err == nil {
			t.Errorf("ParseRate(%q) has no error", bad)
		}
	}
}

func TestReportHasEveryOutcome(t *testing.T) {
	d := days(t, "2026-03-29", "2026-03-30", "Europe/Berlin")
	tally := NewTally(d, Known{
		Network:    func(string, string) string { return "monetag" },
		Additional: func(_, rule string) bool { return rule == "bonus" },
	})
	reward := func(outcome string, n, nanos int64) carom.QuarterCount {
		return at("2026-03-29 10:00", "7", "", "coins", "reward:"+outcome, n, nanos)
	}
	for _, c := range []carom.QuarterCount{
		impressions("2026-03-28 23:00", "7", "accepted", 5), // the first quarter of the day in Berlin
		impressions("2026-03-28 22:45", "7", "accepted", 100), impressions("2026-03-29 22:00", "7", "accepted", 1),
		at("2026-03-29 10:00", "7", "click", "not_valued", "unmatched", 2, 0), impressions("2026-03-29 10:00", "7", "conflict", 1),
		at("2026-03-29 10:00", "", "", "", "refused:no_identity", 3, 0), at("2026-03-29 10:00", "", "", "", "unverified:wrong_secret", 4, 0),
		reward("granted:watch", 2, 10_000_000_000), reward("granted:bonus", 1, 1_000_000_000), reward("held:watch", 1, 0),
		reward("declined:capped:watch", 3, 0), reward("reversed:watch", 1, 5_000_000_000), reward("canceled:watch", 1, 0), reward("uncounted", 1, 0),
	} {
		tally.Add(&c)
	}
	got := tally.Report(nil)
	want := []DayRow{
		{Day: "2026-03-29", App: "game", Network: "monetag", Source: "ads", Received: 7, Verified: 3, Refused: 3, Unverified: 4,
			RefusedBy: map[string]int64{"no_identity": 3}, UnverifiedBy: map[string]int64{"wrong_secret": 4}, Revenue: "0"},
		{Day: "2026-03-29", App: "game", Network: "monetag", Source: "ads", Zone: "7", Received: 8, Verified: 8, Accepted: 7, Unmatched: 2, Valued: 5,
			NotValued: 2, Types: map[string]int64{"impression valued": 5, "click not_valued": 2}, Duplicates: 1, Conflicts: 1, Confirmed: 2, Granted: 3,
			GrantedSum: []CurrencySum{{"coins", "11"}}, HeldRewards: 1, Declined: 3, DeclinedBy: map[string]int64{"capped": 3}, Reversed: 1,
			ReversedSum: []CurrencySum{{"coins", "5"}}, Canceled: 1, Revenue: "0.005"},
		{Day: "2026-03-30", App: "game", Network: "monetag", Source: "ads", Zone: "7", Received: 1, Verified: 1, Accepted: 1, Valued: 1,
			Types: map[string]int64{"impression valued": 1}, Revenue: "0.001"},
	}
	if diff := cmp.Diff(want, got.Rows); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	for _, line := range got.Table() {
		if len(line) != len(got.Table()[0]) {
			t.Errorf("a line of the table has %d cells, the header %d", len(line), len(got.Table()[0]))
		}
	}
}

func TestSpreadsheetsRunNothing(t *testing.T) {
	var b strings.Builder
	if err := WriteCSV(&b, [][]string{{"=1+1", "+49", "-5", "-5.25", "-x", "@a", "\tb", "a,b", "5", "--1"}}); err != nil {
		t.Fatal(err)
	}
	if want := "'=1+1,'+49,-5,-5.25,'-x,'@a,'\tb,\"a,b\",5,'--1\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// BenchmarkCompare explains 31 days of a busy source: two zones, five outcomes, every quarter of an hour, in days that do not fit,
// so that all time zones are tried.
func BenchmarkCompare(b *testing.B) {
	c := &Case{App: "game", Source: "ads", Prices: "USD", Days: days(b, "2026-03-01", "2026-03-31", "UTC"), Stated: map[string][]carom.StatementRow{}}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range c.Days.Len() {
		c.Stated[c.Days.Name(i)] = []carom.StatementRow{stated(c.Days.Name(i), "7", r.Int64N(20_000), 1), stated(c.Days.Name(i), "8", r.Int64N(20_000), 1)}
	}
	for q := range 33 * 96 {
		for i := range 10 {
			count := impressions("2026-02-28 00:00", fmt.Sprint(7+i%2), []string{"accepted", "duplicate", "held", "conflict", "duplicate_late"}[i/2], 3)
			count.At = count.At.Add(time.Duration(q) * 15 * time.Minute)
			c.Counts = append(c.Counts, count)
		}
	}
	for b.Loop() {
		if _, err := Compare(c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead reads a file of about the largest size.
func BenchmarkRead(b *testing.B) {
	var text strings.Builder
	text.WriteString("Date,Zone ID,Country,Impressions,Revenue\n")
	for i := range 190_000 {
		fmt.Fprintf(&text, "2026-03-%02d,%d,DE,\"1,234\",$1.%d\n", i%31+1, i%50, i%100)
	}
	generic := columns(b, "")
	for b.Loop() {
		if _, _, err := Read([]byte(text.String()), generic, ReadOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
