package tables

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"carom"
)

func TestObjectsHaveAVersion(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		first, err := p.SetObjects(t.Context(), carom.Objects{
			Apps:      []carom.App{{Name: "Game", BotToken: "1:secret"}, {Name: "arcade"}}, // capitals come first
			Endpoints: []carom.Endpoint{{App: "Game", Name: "a", SigningSecrets: []carom.SigningSecret{{Key: "whsec_x"}}}, {App: "Game", Name: "b"}},
			Sources:   []carom.Source{{App: "Game", Name: "ads", Profile: "monetag", NetworkSecrets: []carom.SigningSecret{{Key: "k", NotAfter: noon}}}},
		})
		if err != nil || first.Version != 1 || first.Endpoints[1].No != 2 {
			t.Fatalf("SetObjects = %+v, %v, want version 1 and the numbers 1 and 2", first, err)
		}
		got, err := p.Objects(t.Context())
		if diff := cmp.Diff(first, got); err != nil || diff != "" {
			t.Errorf("Objects, %v (-want +got):\n%s", err, diff)
		}
		changed := got
		changed.Endpoints = []carom.Endpoint{{App: "Game", Name: "c"}, {App: "Game", Name: "b"}}
		if changed, err = p.SetObjects(t.Context(), changed); err != nil || changed.Version != 2 || changed.Endpoints[0].No != 3 || changed.Endpoints[1].No != 2 {
			t.Errorf("SetObjects of what was read = %+v, %v, want version 2 and the numbers 3 and 2", changed, err)
		}
		if _, err := p.SetObjects(t.Context(), got); !errors.Is(err, carom.ErrConflict) {
			t.Errorf("SetObjects of what was changed since: %v, want carom.ErrConflict", err)
		}
		twice := changed
		twice.Endpoints = append(slices.Clone(changed.Endpoints), changed.Endpoints[0])
		if _, err := p.SetObjects(t.Context(), twice); !errors.Is(err, carom.ErrConflict) {
			t.Errorf("SetObjects with one name twice: %v, want carom.ErrConflict", err)
		}
		got, err = p.Objects(t.Context())
		slices.SortFunc(changed.Endpoints, func(x, y carom.Endpoint) int { return x.No - y.No })
		if diff := cmp.Diff(changed, got); err != nil || diff != "" {
			t.Errorf("Objects after what was refused, %v (-want +got):\n%s", err, diff)
		}
		names, err := p.EndpointNames(t.Context())
		if diff := cmp.Diff(map[int]string{2: "Game/b", 3: "Game/c"}, names); err != nil || diff != "" {
			t.Errorf("EndpointNames, %v (-want +got):\n%s", err, diff)
		}
	})
}

func TestKeysOfAnotherProcess(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		other := p.again(t, false)
		a := carom.APIKey{ID: "key_1", Name: "a", App: "app", Scope: carom.ScopeRead, Created: noon, Sum: [32]byte{1}}
		b := carom.APIKey{ID: "key_2", Name: "b", Scope: carom.ScopePublisher, Publisher: "acme", Created: noon, Sum: [32]byte{2}}
		for _, k := range []carom.APIKey{b, a} {
			if err := p.CreateKey(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.CreateKey(t.Context(), a); !errors.Is(err, carom.ErrConflict) {
			t.Errorf("CreateKey twice: %v, want carom.ErrConflict", err)
		}
		// The other one deletes one before it has seen it.
		if err := other.DeleteKey(t.Context(), b.ID); err != nil {
			t.Errorf("DeleteKey of a key that only the database knows: %v", err)
		}
		if err := errors.Join(p.LoadKeys(t.Context()), other.LoadKeys(t.Context())); err != nil {
			t.Fatal(err)
		}
		for name, tables := range map[string]*Tables{"who made them": p.Tables, "the other": other} {
			keys, err := tables.Keys(t.Context())
			if diff := cmp.Diff([]carom.APIKey{a}, keys); err != nil || diff != "" {
				t.Errorf("Keys of %s, %v (-want +got):\n%s", name, err, diff)
			}
			if got, ok := tables.KeyBySum(a.Sum); !ok || got != a {
				t.Errorf("KeyBySum of %s = %+v, %v", name, got, ok)
			}
		}
		if err := other.DeleteKey(t.Context(), b.ID); !errors.Is(err, carom.ErrNotFound) {
			t.Errorf("DeleteKey twice: %v, want carom.ErrNotFound", err)
		}
	})
}

// What is revoked stays revoked though it could not be stored, also when the keys are read again; then it can be deleted once more.
func TestRevokedKeyIsNotReadAgain(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		k := carom.APIKey{ID: "key_1", Name: "a", Created: noon, Sum: [32]byte{1}}
		if err := p.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		write := p.o.Write
		p.o.Write = func(context.Context, func(Tx) error) error { return carom.ErrUnavailable }
		if err := p.DeleteKey(t.Context(), k.ID); !errors.Is(err, carom.ErrUnavailable) {
			t.Errorf("DeleteKey that cannot be stored: %v, want carom.ErrUnavailable", err)
		}
		if err := p.LoadKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, ok := p.KeyBySum(k.Sum); ok {
			t.Error("the revoked key counts again")
		}
		p.o.Write = write
		if err := p.DeleteKey(t.Context(), k.ID); err != nil {
			t.Errorf("DeleteKey again: %v", err)
		}
		if keys, err := p.again(t, true).Keys(t.Context()); err != nil || len(keys) != 0 {
			t.Errorf("keys after a start = %v, %v, want none", keys, err)
		}
	})
}

func TestBreakers(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		for _, at := range []time.Time{noon, noon.Add(time.Minute)} {
			if err := p.SetBreaker(t.Context(), 3, at); err != nil {
				t.Fatal(err)
			}
		}
		got, err := p.Breakers(t.Context())
		if diff := cmp.Diff(map[int]time.Time{3: noon.Add(time.Minute)}, got); err != nil || diff != "" {
			t.Errorf("Breakers, %v (-want +got):\n%s", err, diff)
		}
		if err := p.SetBreaker(t.Context(), 3, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if got, err := p.Breakers(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("Breakers of a closed one = %v, %v", got, err)
		}
	})
}

func TestViews(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		open := func(v carom.View) *carom.View {
			t.Helper()
			v.App, v.User, v.OpenedAt, v.ExpiresAt = "game", "u", p.now, p.now.Add(time.Hour)
			if err := p.OpenView(t.Context(), &v); err != nil {
				t.Fatal(err)
			}
			p.now = p.now.Add(time.Minute)
			return &v
		}
		same := func(what string, want, got *carom.View, err error) {
			t.Helper()
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
				t.Errorf("%s, %v (-want +got):\n%s", what, err, diff)
			}
		}
		other := p.again(t, false) // before there is any with a ymid of its own
		own := open(carom.View{YMID: "mine", Placement: "bonus", Fixed: true, Sources: []string{"ads", "more"}})
		byUser := open(carom.View{ByUser: true})
		if byUser.YMID == "" || byUser.YMID != other.ViewSeal().YMID(byUser.ID) {
			t.Errorf("the ymid of a view is %q, want that of the seal that all share", byUser.YMID)
		}
		newer := open(carom.View{ByUser: true})
		byUser.ExpiresAt = newer.OpenedAt
		got, err := p.View(t.Context(), byUser.ID)
		same("a view that a later one ended", byUser, got, err)
		for name, tables := range map[string]*Tables{"who opened it": p.Tables, "another": other} {
			got, err := tables.ViewByYMID(t.Context(), "game", "mine")
			same("ViewByYMID of "+name, own, got, err)
			got, err = tables.ViewOfUser(t.Context(), "game", "u")
			same("ViewOfUser of "+name, newer, got, err)
			got, err = tables.ViewByYMID(t.Context(), "game", "nobody's")
			same("no view of "+name, nil, got, err)
		}
		if err := other.OpenView(t.Context(), &carom.View{App: "game", User: "u", YMID: "mine"}); !errors.Is(err, carom.ErrConflict) {
			t.Errorf("OpenView with the same ymid: %v, want carom.ErrConflict", err)
		}
		for id, want := range map[carom.ViewID]error{carom.NewOpenedViewID(7, 99): carom.ErrNotFound, carom.NewOpenedViewID(8, 1): carom.ErrNotFound, "view_x": carom.ErrInvalid} {
			if _, err := p.View(t.Context(), id); !errors.Is(err, want) {
				t.Errorf("View(%s): %v, want %v", id, err, want)
			}
		}
		counts, err := p.OpenedViews(t.Context(), "", []time.Time{noon, noon.Add(90 * time.Second), noon.Add(time.Hour)})
		if diff := cmp.Diff([]map[string]int64{{"game": 2}, {"game": 1}}, counts); err != nil || diff != "" {
			t.Errorf("OpenedViews, %v (-want +got):\n%s", err, diff)
		}
		if counts, err := p.OpenedViews(t.Context(), "shop", []time.Time{noon, noon.Add(time.Hour)}); err != nil || len(counts[0]) != 0 {
			t.Errorf("OpenedViews of another app = %v, %v", counts, err)
		}
		if err := p.DropViews(t.Context(), noon.Add(10*time.Hour)); err != nil {
			t.Fatal(err)
		}
		left, err := p.ViewsOf(t.Context(), "game", "u")
		if diff := cmp.Diff([]*carom.View{own}, left); err != nil || diff != "" {
			t.Errorf("ViewsOf after dropping, %v (-want +got):\n%s", err, diff)
		}
	})
}

func TestStatements(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		n := func(v int64) *int64 { return &v }
		var march, later []carom.StatementRow
		for i := range 2*statementSlice + 1 { // in more than one go
			march = append(march, carom.StatementRow{Day: "2026-03-01", Zone: fmt.Sprintf("%04d", i), Impressions: n(int64(i))})
		}
		later = append(later, carom.StatementRow{Day: "2026-03-01", Zone: "z", SubZone: "s", Clicks: n(1), Valued: n(2), Revenue: carom.Price{Nanos: 5, Set: true}},
			carom.StatementRow{Day: "2026-03-02", Zone: "z"})
		st := carom.Statement{At: noon, By: "admin", App: "game", Source: "ads", File: "a.csv", SHA256: "aa", Reading: "r", Map: "monetag", Currency: "USD",
			DayZone: "UTC", From: "2026-03-01", To: "2026-03-02", Rows: len(march), Notes: []string{"A note."}}
		first, again, err := p.AddStatement(t.Context(), st, march)
		if st.ID = first.ID; err != nil || again || cmp.Diff(st, first) != "" {
			t.Fatalf("AddStatement = %+v, %v, %v", first, again, err)
		}
		if same, again, err := p.AddStatement(t.Context(), st, march); err != nil || !again || same.ID != first.ID {
			t.Errorf("AddStatement of the same = %s, %v, %v, want %s again", same.ID, again, err, first.ID)
		}
		st.SHA256, st.Rows = "bb", len(later)
		second, _, err := p.AddStatement(t.Context(), st, later)
		if err != nil {
			t.Fatal(err)
		}
		got, rows, err := p.Statement(t.Context(), first.ID)
		if diff := cmp.Diff(first, got) + cmp.Diff(march, rows); err != nil || diff != "" {
			t.Errorf("Statement, %v (-want +got):\n%s", err, diff)
		}
		list, err := p.Statements(t.Context(), carom.StatementFilter{App: "game"})
		if err != nil || len(list) != 2 || list[0].ID != second.ID {
			t.Errorf("Statements = %+v, %v, want both, the newest first", list, err)
		}
		if list, err := p.Statements(t.Context(), carom.StatementFilter{Source: "others"}); err != nil || len(list) != 0 {
			t.Errorf("Statements of another source = %+v, %v", list, err)
		}
		used, days, err := p.StatedDays(t.Context(), "game", "ads", "2026-03-01", "")
		if diff := cmp.Diff(map[string][]carom.StatementRow{"2026-03-01": later[:1], "2026-03-02": later[1:]}, days); err != nil || diff != "" || len(used) != 1 {
			t.Errorf("StatedDays of %d statements, %v (-want +got):\n%s", len(used), err, diff)
		}
		if _, _, err := p.Statement(t.Context(), carom.NewStatementID(7, 99)); !errors.Is(err, carom.ErrNotFound) {
			t.Errorf("Statement that is not there: %v, want carom.ErrNotFound", err)
		}
	})
}

func TestShadow(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		var seen []string
		entry := func(view byte, f carom.ShadowFinding) carom.ShadowEntry {
			f.Example.At = p.now
			return carom.ShadowEntry{App: "app", Source: "ads", At: p.now, N: 2, View: [16]byte{view}, Judge: func(ofView, ofSource []byte) carom.ShadowFinding {
				seen = append(seen, string(ofView)+","+string(ofSource))
				return f
			}}
		}
		coins := []carom.ShadowGrant{{Currency: "coins", Amount: 9_000_000_000_000_000_000}, {Currency: "USD", Amount: 1}}
		differs := carom.ShadowFinding{Compared: true, Kinds: []carom.ShadowKind{carom.ShadowAmount}, Example: carom.ShadowExample{ID: "evt_1", Judged: "j", Answered: "a"}}
		noted := carom.ShadowFinding{Compared: true, Grants: coins, View: []byte("v1"), Source: []byte("s1")}
		if kept, err := p.Compare(t.Context(), []carom.ShadowEntry{entry(1, noted), entry(1, carom.ShadowFinding{Missed: true, View: []byte("v2")}), entry(0, differs)}); err != nil || kept != 3 {
			t.Fatalf("Compare = %d, %v", kept, err)
		}
		for range ShadowSlots/shadowPerCommit + 1 {
			p.now = p.now.Add(time.Second)
			if _, err := p.Compare(t.Context(), slices.Repeat([]carom.ShadowEntry{entry(1, differs)}, shadowPerCommit+1)); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]string{",", "v1,s1", ",s1", "v2,s1"}, seen[:4]); diff != "" {
			t.Errorf("what was remembered (-want +got):\n%s", diff)
		}
		report, err := p.ShadowReport(t.Context(), "app", "ads", noon)
		differences := int64((ShadowSlots/shadowPerCommit+1)*(shadowPerCommit+1) + 1)
		want := carom.ShadowReport{Since: noon, Requests: 2 * (2 + differences), Compared: 2 * (1 + differences), Agreed: 2, Missed: 2,
			Differences: []carom.ShadowDifference{{Kind: carom.ShadowAmount, Count: 2 * differences, Examples: slices.Repeat([]carom.ShadowExample{
				{At: p.now, ID: "evt_1", Judged: "j", Answered: "a"}}, shadowExamples)}},
			WouldGrant: []carom.ShadowSum{{Currency: "USD", Rewards: 1, Amount: "0.000000001"}, {Currency: "coins", Rewards: 1, Amount: "9000000000"}}}
		if diff := cmp.Diff(want, report); err != nil || diff != "" {
			t.Errorf("ShadowReport, %v (-want +got):\n%s", err, diff)
		}
		rows := func(table string) (n int) {
			t.Helper()
			if err := p.QueryRowContext(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if got := rows("shadow_examples"); got != ShadowSlots {
			t.Errorf("%d examples are kept, want %d", got, ShadowSlots)
		}
		if err := p.PruneShadow(t.Context(), noon.Add(ShadowNotes+time.Hour), noon.Add(-time.Hour)); err != nil || rows("shadow_notes") != 1 || rows("shadow_counts") == 0 {
			t.Errorf("after days %d notes are kept (%v), want that of the source, and the counts", rows("shadow_notes"), err)
		}
		if err := p.PruneShadow(t.Context(), noon, noon.Add(time.Hour)); err != nil || rows("shadow_counts")+rows("shadow_grants")+rows("shadow_examples") != 0 {
			t.Errorf("after all days counts are kept (%v)", err)
		}
	})
}

// put adds what was gathered to the tables, as a store does.
func (p *place) put(t *testing.T, c *Counts) {
	t.Helper()
	if err := p.write(t.Context(), func(tx Tx) error {
		var errs []error
		for k, n := range c.Received() {
			errs = append(errs, tx.Exec(`INSERT INTO counts (minute, app, source, zone_id, request_var, event_type, value, outcome, n, price_units, price_nanos)
				VALUES (?,?,?,?,?,?,?,?,?,?,?)`, k.Minute, k.App, k.Source, k.Zone, k.RequestVar, k.EventType, k.Value, k.Outcome, n.N, n.Units, n.Nanos))
		}
		for k, n := range c.Quarters() {
			errs = append(errs, tx.Exec(`INSERT INTO quarter_counts (quarter, app, source, zone_id, event_type, value, outcome, n, price_units, price_nanos)
				VALUES (?,?,?,?,?,?,?,?,?,?)`, k.Quarter, k.App, k.Source, k.Zone, k.EventType, k.Value, k.Outcome, n.N, n.Units, n.Nanos))
		}
		for k, n := range c.Deliveries() {
			errs = append(errs, tx.Exec(`INSERT INTO delivery_counts (minute, endpoint, outcome, n) VALUES (?,?,?,?)`, k.Minute, int64(k.Endpoint), k.Outcome, n))
		}
		return errors.Join(errs...)
	}); err != nil {
		t.Fatal(err)
	}
}

func TestCounts(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		if _, err := p.SetObjects(t.Context(), carom.Objects{Endpoints: []carom.Endpoint{{App: "app", Name: "backend"}}}); err != nil {
			t.Fatal(err)
		}
		c := NewCounts()
		ev := &carom.Event{App: "app", Source: "ads", At: noon, ZoneID: "7", RequestVar: "bonus", Type: carom.Impression, Value: carom.Valued,
			Price: carom.Price{Nanos: 1_600_000_000, Set: true}}
		for i := range 3 {
			c.Event(ev, carom.OutcomeAccepted, noon.Add(time.Duration(i)*10*time.Minute))
		}
		c.Other("app", "ads", carom.OutcomeRefused+":too_large", noon, 4)
		c.Reward(ev, &carom.Decided{Rule: "watch", State: carom.RewardGranted, Reward: &carom.Reward{Currency: "coins", Amount: 2_500_000_000}})
		c.Reward(ev, &carom.Decided{Rule: "watch", State: carom.RewardDeclined, Reason: carom.DeclineTransaction})
		c.Delivery(1, nil, "delivered", noon)
		c.Delivery(9, ev, "dead", noon)
		p.put(t, c)

		for _, tt := range []struct {
			name   string
			filter carom.CountFilter
			want   []carom.Count
		}{
			{"all", carom.CountFilter{}, []carom.Count{{Outcome: "accepted", N: 3, Price: "4.8"}, {Outcome: "refused:too_large", N: 4}}},
			{"by minute", carom.CountFilter{From: noon.Add(time.Minute), App: "app", Source: "ads", GroupBy: []string{"minute", "zone", "request_var", "event_type", "value"}}, []carom.Count{
				{At: noon.Add(10 * time.Minute), Zone: "7", RequestVar: "bonus", EventType: "impression", Value: "valued", Outcome: "accepted", N: 1, Price: "1.6"},
				{At: noon.Add(20 * time.Minute), Zone: "7", RequestVar: "bonus", EventType: "impression", Value: "valued", Outcome: "accepted", N: 1, Price: "1.6"}}},
			{"by hour", carom.CountFilter{To: noon.Add(time.Minute), GroupBy: []string{"hour", "app", "source"}}, []carom.Count{
				{At: noon, App: "app", Source: "ads", Outcome: "accepted", N: 1, Price: "1.6"}, {At: noon, App: "app", Source: "ads", Outcome: "refused:too_large", N: 4}}},
			{"rewards", carom.CountFilter{Rewards: true, GroupBy: []string{"day", "outcome", "value"}}, []carom.Count{
				{At: noon.Truncate(24 * time.Hour), Outcome: "reward:declined:transaction:watch", N: 1},
				{At: noon.Truncate(24 * time.Hour), Value: "coins", Outcome: "reward:granted:watch", N: 1, Price: "2.5"}}},
			{"another app", carom.CountFilter{App: "other"}, nil},
		} {
			got, err := p.Counts(t.Context(), tt.filter)
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("Counts, %s, %v (-want +got):\n%s", tt.name, err, diff)
			}
		}
		for _, group := range [][]string{{"minute", "hour"}, {"colour"}} {
			if _, err := p.Counts(t.Context(), carom.CountFilter{GroupBy: group}); !errors.Is(err, carom.ErrInvalid) {
				t.Errorf("Counts by %v: %v, want carom.ErrInvalid", group, err)
			}
		}
		for _, tt := range []struct {
			filter carom.CountFilter
			want   []carom.DeliveryCount
		}{
			{carom.CountFilter{}, []carom.DeliveryCount{{Endpoint: "app/backend", Outcome: "delivered", N: 1}, {Endpoint: "#9", Outcome: "dead", N: 1}}},
			{carom.CountFilter{App: "app", GroupBy: []string{"hour"}}, []carom.DeliveryCount{{At: noon, Endpoint: "app/backend", Outcome: "delivered", N: 1}}},
		} {
			got, err := p.DeliveryCounts(t.Context(), tt.filter)
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("DeliveryCounts of %+v, %v (-want +got):\n%s", tt.filter, err, diff)
			}
		}
		quarters := map[string]int64{}
		if err := p.QuarterCounts(t.Context(), carom.QuarterFilter{App: "app", Source: "ads", From: noon, To: noon.Add(time.Hour)}, func(c *carom.QuarterCount) error {
			quarters[c.At.Format("15:04 ")+c.Outcome] = c.N
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]int64{"12:00 accepted": 2, "12:15 accepted": 1, "12:00 refused:too_large": 4, "12:00 reward:granted:watch": 1,
			"12:00 reward:declined:transaction:watch": 1}, quarters); diff != "" {
			t.Errorf("quarters (-want +got):\n%s", diff)
		}
		if err := p.PruneCounts(t.Context(), noon.Add(15*time.Minute), noon); err != nil {
			t.Fatal(err)
		}
		if got, err := p.Counts(t.Context(), carom.CountFilter{}); err != nil || len(got) != 1 || got[0].N != 1 {
			t.Errorf("Counts after pruning = %+v, %v, want the newest", got, err)
		}
	})
}

// What is written in the order of the tables' keys by everybody makes nobody wait in a circle.
func TestCountsComeInOrder(t *testing.T) {
	c := NewCounts()
	for i := range 50 {
		c.Other(fmt.Sprint("app", i*7%10), fmt.Sprint("source", i*3%7), "x", noon.Add(time.Duration(i%3)*time.Minute), 1)
		c.Delivery(i*7%10, nil, "delivered", noon.Add(time.Duration(i%3)*time.Minute))
	}
	if keys := keysOf(c.Received()); !slices.IsSortedFunc(keys, ReceivedKey.compare) || len(keys) < 10 {
		t.Errorf("%d counts out of order: %v", len(keys), keys)
	}
	if keys := keysOf(c.Quarters()); !slices.IsSortedFunc(keys, QuarterKey.compare) || len(keys) < 10 {
		t.Errorf("%d quarters out of order: %v", len(keys), keys)
	}
	if keys := keysOf(c.Deliveries()); !slices.IsSortedFunc(keys, DeliveryKey.compare) || len(keys) < 10 {
		t.Errorf("%d deliveries out of order: %v", len(keys), keys)
	}
	if c.Reset(); len(maps.Collect(c.Received()))+len(maps.Collect(c.Quarters()))+len(maps.Collect(c.Deliveries())) != 0 {
		t.Error("there is something left after Reset")
	}
}

// keysOf lists the keys in the order in which they come.
func keysOf[K, V any](all iter.Seq2[K, V]) (keys []K) {
	for k := range all {
		keys = append(keys, k)
	}
	return keys
}

func TestLabelsOfTheDayAreKnownAfterAStart(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		c := NewCounts()
		label := func(c *Counts, n int) {
			c.Event(&carom.Event{App: "app", Source: "ads", ZoneID: "7", RequestVar: fmt.Sprint("v", n), Type: carom.Click}, carom.OutcomeAccepted, noon)
		}
		for n := range MaxRequestVars + 1 {
			label(c, n)
		}
		p.put(t, c)
		c = NewCounts()
		if err := p.LoadLabels(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		label(c, 0)
		label(c, MaxRequestVars+2)
		got := map[string]int64{}
		for k, n := range c.Received() {
			got[k.RequestVar] = n.N
		}
		if diff := cmp.Diff(map[string]int64{"v0": 1, OtherLabel: 1}, got); diff != "" {
			t.Errorf("labels after a start (-want +got):\n%s", diff)
		}
	})
}

func TestUnverified(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		u, c := NewUnverified(), NewCounts()
		add := func(app, source string, n int) {
			for range n {
				p.now = p.now.Add(time.Millisecond)
				u.Add(carom.Unverified{App: app, Source: source, Reason: carom.ReasonWrongSecret, Received: carom.Received{At: p.now, Method: "GET", Path: "/in/x", RawQuery: "a=1"}})
			}
		}
		flush := func(fails error) {
			t.Helper()
			err := p.write(t.Context(), func(tx Tx) error { return errors.Join(u.Write(tx, c, noon), fails) })
			if !errors.Is(err, fails) {
				t.Fatalf("flush: %v", err)
			}
			if err != nil {
				u.GiveBack()
				c.Reset()
				return
			}
			u.Written()
		}
		if u.Waiting() {
			t.Error("something waits at first")
		}
		add("app", "ads", 25)
		flush(carom.ErrUnavailable)
		if !u.Waiting() {
			t.Error("the counts of a failed commit are gone")
		}
		for range SampleSlots/SamplesPerFlush + 1 {
			add("app", "ads", SamplesPerFlush)
			flush(nil)
		}
		add("", "", 1)
		flush(nil)
		total := int64(0)
		for _, n := range c.Received() {
			total += n.N
		}
		if want := int64(25 + SampleSlots + SamplesPerFlush + 1); total != want || u.Waiting() {
			t.Errorf("%d counted, want %d", total, want)
		}
		for _, tt := range []struct {
			app, source string
			want        int
		}{{"", "", SampleSlots + 1}, {"app", "", SampleSlots}, {"app", "ads", SampleSlots}, {"app", "others", 0}, {"ap", "", 0}} {
			if got, err := p.UnverifiedSample(t.Context(), tt.app, tt.source, 1000); err != nil || len(got) != tt.want {
				t.Errorf("UnverifiedSample(%q, %q) holds %d, %v, want %d", tt.app, tt.source, len(got), err, tt.want)
			}
		}
		got, err := p.UnverifiedSample(t.Context(), "app", "ads", 1)
		want := []*carom.Unverified{{App: "app", Source: "ads", Reason: carom.ReasonWrongSecret,
			Received: carom.Received{At: p.now.Add(-time.Millisecond), Method: "GET", Path: "/in/x", RawQuery: "a=1"}}}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(carom.Received{}.Client)); err != nil || diff != "" {
			t.Errorf("the newest, %v (-want +got):\n%s", err, diff)
		}
	})
}

func TestRewards(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		ref := carom.Ref{Bucket: 3, Seq: 9}
		row := func(no int64, state carom.RewardState) *RewardRow {
			return &RewardRow{No: no, Life: 7, Ref: ref, Additional: true, View: [16]byte{1}, Counted: "x", Reward: carom.Reward{
				ID: carom.NewRewardID(7, no), At: noon, App: "app", Rule: "watch", User: "u", Currency: "coins", Amount: 5, State: state,
				Until: noon.Add(time.Duration(-no) * time.Hour), Changed: noon, Why: "why", Event: carom.NewEventID(7, ref), Source: "ads", Network: "monetag",
				View: "view_x", YMID: "y", ZoneID: "7", RequestVar: "bonus", Transaction: "tx",
			}}
		}
		granted, early, late := row(1, carom.RewardGranted), row(3, carom.RewardHeld), row(2, carom.RewardHeld)
		granted.Until = time.Time{}
		if err := p.write(t.Context(), func(tx Tx) error {
			var errs []error
			for _, r := range []*RewardRow{granted, early, late} {
				var args []any
				for _, v := range r.Values(func(r carom.Ref) int64 { return int64(r.Uint64()) }) {
					args = append(args, v)
				}
				errs = append(errs, tx.Exec(`INSERT INTO rewards (`+RewardColumns+`) VALUES `+marks(rewardWidth), args...))
			}
			for _, n := range []int64{2, 1} {
				errs = append(errs, tx.Exec(`INSERT INTO ledger (reward, n, at, app, "user", currency, amount, event, why, late) VALUES (?,?,?,?,?,?,?,?,?,?)`,
					int64(1), n, noon.UnixMilli(), "app", "u", "coins", 5-10*(n-1), string(granted.Event), "", n-1))
			}
			return errors.Join(errs...)
		}); err != nil {
			t.Fatal(err)
		}
		got, lines, err := p.Reward(t.Context(), granted.ID)
		if diff := cmp.Diff(&granted.Reward, got); err != nil || diff != "" {
			t.Errorf("Reward, %v (-want +got):\n%s", err, diff)
		}
		if len(lines) != 2 || lines[0].N != 1 || lines[0].Amount != 5 || lines[1].Amount != -5 || lines[0].Reward != granted.ID || lines[0].User != "u" {
			t.Errorf("lines = %+v, want the credit, then the debit", lines)
		}
		held, err := p.HeldDue(t.Context(), noon, 10)
		if diff := cmp.Diff([]*carom.Reward{&early.Reward, &late.Reward}, held); err != nil || diff != "" {
			t.Errorf("HeldDue, %v (-want +got):\n%s", err, diff)
		}
		stored, err := p.RewardByNumber(t.Context(), p, 1)
		granted.Counted = "" // not read
		if diff := cmp.Diff(granted, stored); err != nil || diff != "" {
			t.Errorf("RewardByNumber, %v (-want +got):\n%s", err, diff)
		}
		for id, want := range map[carom.RewardID]error{carom.NewRewardID(7, 99): carom.ErrNotFound, carom.NewRewardID(8, 1): carom.ErrNotFound, "rwd_x": carom.ErrInvalid} {
			if _, _, err := p.Reward(t.Context(), id); !errors.Is(err, want) {
				t.Errorf("Reward(%s): %v, want %v", id, err, want)
			}
		}
		for _, tt := range []struct {
			targets string
			ordinal int
			event   carom.EventType
			want    carom.RewardState
		}{{"4 5:1", 0, carom.Impression, ""}, {"4 5:1", 1, carom.Impression, carom.RewardGranted}, {"- 5:1", 1, carom.Reversal, carom.RewardReversed}, {"4", 7, carom.Impression, ""}} {
			got, err := p.Owed(t.Context(), p, &carom.Event{Type: tt.event}, tt.targets, tt.ordinal)
			if err != nil || (got == nil) != (tt.want == "") || got != nil && (got.State != tt.want || got.ID != granted.ID) {
				t.Errorf("Owed(%q, %d) = %+v, %v, want %q", tt.targets, tt.ordinal, got, err, tt.want)
			}
		}
	})
}
