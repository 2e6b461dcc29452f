package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/reward"
)

var noon = time.Date(2026, 3, 1, 12, 30, 30, 0, time.UTC)

// clockAt is a clock that tests set.
type clockAt struct{ ns atomic.Int64 }

func (c *clockAt) now() time.Time { return time.Unix(0, c.ns.Load()).UTC() }

// set makes it n milliseconds after noon.
func (c *clockAt) set(n int) { c.ns.Store(noon.Add(time.Duration(n) * time.Millisecond).UnixNano()) }

// cluster is some nodes on one database, by one clock.
type cluster struct {
	url   string
	clock clockAt
	nodes []*node
}

func openNodes(t *testing.T, n int, o Options) *cluster {
	t.Helper()
	c := &cluster{url: database(t)}
	c.clock.set(0)
	o.URL, o.Clock, o.Decide = c.url, c.clock.now, reward.Decide
	for i := range n {
		o.Name = fmt.Sprint("node ", i)
		s, err := Open(t.Context(), o)
		if err != nil {
			t.Fatalf("open %s: %v", o.Name, err)
		}
		one := &node{Store: s, stop: func() {}}
		one.start(t)
		t.Cleanup(func() {
			one.stop()
			if err := s.Close(); err != nil {
				t.Errorf("close %s: %v", o.Name, err)
			}
		})
		c.nodes = append(c.nodes, one)
	}
	return c
}

// earns is an event of a view of its own, for which a user gets 5 coins.
func earns(s *Store, ymid, user string) *carom.Submission {
	sub := event(s, ymid)
	sub.Event.TelegramID = user
	sub.View = carom.ViewClaim{Sum: carom.SumOf("view", ymid), User: user}
	sub.Candidates = []carom.Candidate{{Rule: "app/watch", At: sub.Event.Received.At, Currency: "coins", Amount: 5_000_000_000}}
	return sub
}

// interleaved has three nodes accept an event, a refused postback and a reward each in turns, of which none comes at the time at which
// its place would have it: in the same buckets, one node behind another. Some come at the same reading of the clock.
func interleaved(t *testing.T) (c *cluster, events []*carom.Event, refused []*carom.Refused, rewards []*carom.Reward) {
	t.Helper()
	c = openNodes(t, 3, Options{BucketEvents: 12})
	for i := range 90 {
		c.clock.set(10 * (i / 2)) // two at a time
		n := c.nodes[(i*i+i/7)%3]
		sub := earns(n.Store, fmt.Sprint("view ", i), fmt.Sprint("user ", i%2))
		sub.Event.ZoneID = fmt.Sprint(i % 4)
		sub.Targets = []carom.Target{{Endpoint: 1 + i%2}}
		n.accept(t, sub)
		r := &carom.Refused{App: "app", Source: fmt.Sprint("source ", i%2), Reason: carom.ReasonNoIdentity, Received: carom.Received{At: c.clock.now()}}
		if err := n.Refuse(r); err != nil {
			t.Fatal(err)
		}
		events, refused, rewards = append(events, sub.Event), append(refused, r), append(rewards, sub.Receipt.Decided[0].Reward)
	}
	return c, events, refused, rewards
}

// order is that of lists: newest first, by bucket, time and place.
func order(refX, refY carom.Ref, atX, atY time.Time) int {
	return -cmp.Or(cmp.Compare(refX.Bucket, refY.Bucket), atX.Compare(atY), cmp.Compare(placeOf(refX), placeOf(refY)))
}

func TestListsInterleaveNodes(t *testing.T) {
	c, events, refused, rewards := interleaved(t)
	place := func(id carom.EventID) carom.Ref { _, ref, _ := id.Place(); return ref }
	received := func(id carom.ReceivedID) carom.Ref { _, ref, _ := id.Place(); return ref }
	slices.SortFunc(events, func(x, y *carom.Event) int { return order(place(x.ID), place(y.ID), x.At, y.At) })
	slices.SortFunc(refused, func(x, y *carom.Refused) int {
		return order(received(x.ID), received(y.ID), x.Received.At, y.Received.At)
	})
	slices.SortFunc(rewards, func(x, y *carom.Reward) int {
		return -cmp.Or(x.At.Compare(y.At), cmp.Compare(numberOfReward(t, x), numberOfReward(t, y)))
	})
	buckets := map[uint32]map[uint16]bool{}
	for _, ev := range events {
		ref := place(ev.ID)
		if buckets[ref.Bucket] == nil {
			buckets[ref.Bucket] = map[uint16]bool{}
		}
		buckets[ref.Bucket][ref.Node] = true
	}
	if len(buckets) < 2 || len(buckets[1]) < 3 {
		t.Fatalf("events lie in %v: want several buckets, and nodes mixed in them", buckets)
	}

	n := c.nodes[1] // any of them tells of all
	for _, f := range []carom.EventFilter{{}, {YMID: "view 7"}, {User: "user 1"}, {Zone: "2"}, {App: "nobody"}, {Source: "src", User: "user 0", Zone: "0"}} {
		var want []carom.EventID
		for _, ev := range events {
			if (f.YMID == "" || f.YMID == ev.YMID) && (f.User == "" || f.User == ev.TelegramID) && (f.Zone == "" || f.Zone == ev.ZoneID) && (f.App == "" || f.App == ev.App) {
				want = append(want, ev.ID)
			}
		}
		for _, f.Limit = range []int{1, 7, 1000} {
			var got []carom.EventID
			f.Before = ""
			for {
				list, err := n.Events(t.Context(), f)
				if err != nil {
					t.Fatalf("Events(%+v): %v", f, err)
				}
				if len(list) == 0 {
					break
				}
				for _, ev := range list {
					got = append(got, ev.ID)
				}
				f.Before = got[len(got)-1]
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("Events(%+v), page by page (-want +got):\n%s", f, diff)
			}
		}
	}
	var gotRefused, wantRefused []carom.ReceivedID
	for _, r := range refused {
		wantRefused = append(wantRefused, r.ID)
	}
	for f := (carom.RefusedFilter{Limit: 4}); ; f.Before = gotRefused[len(gotRefused)-1] {
		list, err := n.Refused(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		for _, r := range list {
			gotRefused = append(gotRefused, r.ID)
		}
	}
	if diff := gocmp.Diff(wantRefused, gotRefused); diff != "" {
		t.Errorf("Refused, page by page (-want +got):\n%s", diff)
	}
	var gotRewards, wantRewards []carom.RewardID
	for _, r := range rewards {
		wantRewards = append(wantRewards, r.ID)
	}
	for f := (carom.RewardFilter{Limit: 4}); ; f.Before = gotRewards[len(gotRewards)-1] {
		list, err := n.Rewards(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		for _, r := range list {
			gotRewards = append(gotRewards, r.ID)
		}
	}
	if diff := gocmp.Diff(wantRewards, gotRewards); diff != "" {
		t.Errorf("Rewards, page by page (-want +got):\n%s", diff)
	}
}

func numberOfReward(t *testing.T, r *carom.Reward) int64 {
	t.Helper()
	_, no, err := r.ID.Number()
	if err != nil {
		t.Fatal(err)
	}
	return no
}

// A page of deliveries looks at so many events, and says where to go on, in the order of lists.
func TestDeliveriesAreLookedForInChunks(t *testing.T) {
	c, events, _, _ := interleaved(t)
	slices.SortFunc(events, func(x, y *carom.Event) int {
		_, refX, _ := x.ID.Place()
		_, refY, _ := y.ID.Place()
		return order(refX, refY, x.At, y.At)
	})
	for _, tt := range []struct {
		name                        string
		state                       carom.DeliveryState
		limit, scan, stories, chunk int
	}{
		{"all at once", "", 1000, 1000, 1000, 1000}, {"small chunks", "", 1000, 1000, 1000, 3}, {"as many as a page holds", "", 2, 1000, 1000, 5},
		{"few looked at", "", 1000, 7, 1000, 3}, {"few read", carom.Pending, 1000, 1000, 3, 4}, {"none in the state", carom.Dead, 3, 5, 5, 5},
	} {
		var want, got []carom.EventID
		for _, ev := range events {
			var i int
			_, _ = fmt.Sscanf(ev.YMID, "view %d", &i) // each is called so
			if i%2 == 0 && tt.state != carom.Dead {
				want = append(want, ev.ID)
			}
		}
		from, pages := newest(), 0
		for {
			p := deliveryPage{s: c.nodes[2].Store, endpoint: 1, filter: carom.EventFilter{App: "app"}, state: tt.state, limit: tt.limit, scan: tt.scan, stories: tt.stories, chunk: tt.chunk}
			if err := p.s.newestBuckets(t.Context(), from, time.Time{}, func(r span) (bool, error) {
				err := p.look(t.Context(), r)
				return p.next == "", err
			}); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			for _, st := range p.list {
				got = append(got, st.Event.ID)
			}
			if p.next == "" {
				break
			}
			if pages++; pages > len(events)+1 {
				t.Fatalf("%s: the pages do not end", tt.name)
			}
			var err error
			if from, err = p.s.beforeEvent(t.Context(), p.next); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// Retention on another node, and people at the database, take buckets away while others read.
func TestReadsWithoutABucket(t *testing.T) {
	c := openNodes(t, 1, Options{BucketEvents: 1})
	n := c.nodes[0]
	var ids []carom.EventID // each in a bucket of its own, like those that were refused
	var received []carom.ReceivedID
	for i := range 4 {
		c.clock.set(i)
		sub := event(n.Store, fmt.Sprint("view ", i), carom.Target{Endpoint: 1})
		n.accept(t, sub)
		r := &carom.Refused{App: "app", Source: "src", Reason: carom.ReasonNoIdentity, Received: carom.Received{At: c.clock.now()}}
		if err := n.Refuse(r); err != nil {
			t.Fatal(err)
		}
		ids, received = append(ids, sub.Receipt.ID), append(received, r.ID)
	}
	bucketsOf := func(i int) []uint32 {
		_, of, _ := ids[i].Place()
		_, ofRefused, _ := received[i].Place()
		return []uint32{of.Bucket, ofRefused.Bucket}
	}
	for _, bucket := range bucketsOf(2) { // by hand
		for _, table := range partitioned {
			run(t, c.url, fmt.Sprintf(`DROP TABLE %s_%d`, table, bucket))
		}
	}
	for _, bucket := range bucketsOf(1) {
		if err := n.dropBucket(t.Context(), bucket); err != nil {
			t.Fatal(err)
		}
	}
	for i, id := range ids {
		want := error(nil)
		if i == 1 || i == 2 {
			want = carom.ErrNotFound
		}
		if _, err := n.Story(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("Story of event %d: %v, want %v", i, err, want)
		}
		if _, err := n.Event(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("Event %d: %v, want %v", i, err, want)
		}
		if _, err := n.Resend(t.Context(), id.Delivery(0)); want != nil && !errors.Is(err, want) {
			t.Errorf("Resend of event %d: %v, want %v", i, err, want)
		}
	}
	for _, tt := range []struct {
		before int // of four; -1: none
		want   []carom.EventID
	}{{-1, []carom.EventID{ids[3], ids[0]}}, {3, ids[:1]}, {2, ids[:1]}, {1, ids[:1]}, {0, nil}} {
		var ef carom.EventFilter
		var rf carom.RefusedFilter
		if tt.before >= 0 {
			ef.Before, rf.Before = ids[tt.before], received[tt.before]
		}
		list, err := n.Events(t.Context(), ef)
		var got []carom.EventID
		for _, ev := range list {
			got = append(got, ev.ID)
		}
		if diff := gocmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("Events before %d, %v (-want +got):\n%s", tt.before, err, diff)
		}
		refused, err := n.Refused(t.Context(), rf)
		if err != nil || len(refused) != len(tt.want) {
			t.Errorf("Refused before %d: %d, %v, want %d", tt.before, len(refused), err, len(tt.want))
		}
		stories, next, err := n.Deliveries(t.Context(), 1, "", carom.EventFilter{App: "app", Before: ef.Before})
		if err != nil || len(stories) != len(tt.want) || next != "" {
			t.Errorf("Deliveries before %d: %d, next %q, %v, want %d", tt.before, len(stories), next, err, len(tt.want))
		}
	}
	if found, err := n.NewestEvents(t.Context(), 10); err != nil || len(found["app"]) != 2 {
		t.Errorf("NewestEvents: %d, %v, want 2", len(found["app"]), err)
	}
	if _, err := n.NewestAttempts(t.Context(), time.Time{}, 10); err != nil {
		t.Errorf("NewestAttempts: %v", err)
	}
}

// What PostgreSQL does not take is found by what was sent.
func TestSearchForUncleanText(t *testing.T) {
	c := openNodes(t, 1, Options{})
	n := c.nodes[0]
	const odd = "a\x00b\xff"
	sub := event(n.Store, odd)
	sub.Event.UserID, sub.Event.ZoneID = odd, odd
	n.accept(t, sub)
	v := carom.View{App: "app", User: odd, YMID: odd, OpenedAt: n.Now(), ExpiresAt: n.Now().Add(time.Hour)}
	if err := n.OpenView(t.Context(), &v); err != nil {
		t.Fatalf("OpenView: %v", err)
	}
	for _, f := range []carom.EventFilter{{YMID: odd}, {User: odd}, {Zone: odd}} {
		if list, err := n.Events(t.Context(), f); err != nil || len(list) != 1 {
			t.Errorf("Events(%+v): %d, %v, want the one", f, len(list), err)
		}
	}
	if found, err := n.ViewByYMID(t.Context(), "app", odd); err != nil || found == nil || found.ID != v.ID {
		t.Errorf("ViewByYMID = %+v, %v, want %s", found, err, v.ID)
	}
	if p, err := n.Person(t.Context(), "app", odd); err != nil || len(p.Stories) != 1 || len(p.Views) != 1 {
		t.Errorf("Person = %+v, %v, want an event and a view", p, err)
	}
	if erased, err := n.Erase(t.Context(), "app", odd); err != nil || erased.Events != 1 || erased.Views != 1 {
		t.Errorf("Erase = %+v, %v, want an event and a view", erased, err)
	}
}

// Of those who ask for the same delivery at once, one is told that it goes out again.
func TestResendInParallel(t *testing.T) {
	c := openNodes(t, 2, Options{})
	n := c.nodes[0]
	o, err := n.SetObjects(t.Context(), carom.Objects{Apps: []carom.App{{Name: "app"}}, Endpoints: []carom.Endpoint{{App: "app", Name: "backend"}}})
	if err != nil {
		t.Fatal(err)
	}
	sub := event(n.Store, "view", carom.Target{Endpoint: o.Endpoints[0].No, Direct: true})
	n.accept(t, sub)
	d := &carom.Delivery{ID: sub.Receipt.ID.Delivery(0), Event: sub.Event, Endpoint: o.Endpoints[0].No, Since: sub.Event.At, Ticket: sub.Receipt.Ticket}
	if _, err := c.nodes[1].Resend(t.Context(), d.ID); !errors.Is(err, carom.ErrConflict) {
		t.Errorf("Resend of what another node is about to send: %v, want carom.ErrConflict", err)
	}
	if err := n.Record(d, &carom.Attempt{Delivery: d.ID, Number: 1, At: n.Now(), State: carom.Dead, Status: 410}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the outcome is stored", func() bool {
		st, err := n.Story(t.Context(), sub.Receipt.ID)
		return err == nil && st.Deliveries[0].State == carom.Dead
	})
	const asked = 8
	errs := make(chan error, asked)
	for i := range asked {
		go func() {
			_, err := c.nodes[i%2].Resend(context.WithoutCancel(t.Context()), d.ID)
			errs <- err
		}()
	}
	done := 0
	for range asked {
		switch err := <-errs; {
		case err == nil:
			done++
		case !errors.Is(err, carom.ErrConflict):
			t.Errorf("Resend: %v, want carom.ErrConflict", err)
		}
	}
	if done != 1 {
		t.Errorf("%d were told that it goes out again, want one", done)
	}
	st, err := n.Story(t.Context(), sub.Receipt.ID)
	if err != nil || st.Deliveries[0].State != carom.Pending || !st.Deliveries[0].Due.Equal(n.Now().Truncate(time.Millisecond)) {
		t.Errorf("its story: %+v, %v, want it pending and due now", st, err)
	}
}
