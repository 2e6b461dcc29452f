package view

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

func TestAskWhoMay(t *testing.T) {
	r := newRig(t, nil)
	id, token := r.opened(t, "")
	other, _ := r.opened(t, "")
	refused := r.must(t, "GET", "/v1/views/"+string(carom.NewOpenedViewID(1, 99)), "", bearer(token)...)
	if refused.status != http.StatusNotFound {
		t.Fatalf("a view that is not there: %d %s, want 404", refused.status, refused.body)
	}
	gone := carom.NewOpenedViewID(1, 50)
	for name, tt := range map[string]struct {
		id      carom.ViewID
		headers []string
		status  int // 404 stands for the one answer that tells nothing
	}{
		"its token":                          {id, bearer(token), 200},
		"its token, by a page of the app":    {id, append(bearer(token), "Origin", page), 200},
		"a key that may only read":           {id, bearer("all-read"), 200},
		"a key of the app":                   {id, bearer("game-events"), 200},
		"the local socket":                   {id, []string{"X-Test-Local", "1"}, 200},
		"the token of another view":          {other, bearer(token), 404},
		"an altered token":                   {id, bearer(token[:len(token)-1] + "!"), 404},
		"a shortened token":                  {id, bearer(token[:len(token)-1]), 404},
		"a token without its prefix":         {id, bearer(token[len("vt_"):]), 404},
		"the ymid":                           {id, bearer(r.store.seal.YMID(id)), 404},
		"an unknown key":                     {id, bearer("nope"), 404},
		"a key of a publisher":               {id, bearer("publisher"), 404},
		"a key of another app":               {id, bearer("quiz-events"), 404},
		"a key, and no such view":            {gone, bearer("all-read"), 404},
		"a token, and no such view any more": {gone, bearer(r.store.seal.Token(gone)), 404},
		"no id of a view":                    {"nonsense", bearer("all-read"), 404},
		"the token of what is no id":         {"nonsense", bearer(r.store.seal.Token("nonsense")), 404},
		"the local socket, and no such view": {gone, []string{"X-Test-Local", "1"}, 404},
		"an event's view: nobody opened it":  {carom.EventID("evt_0c5g21r0000010000000k").View(), bearer("all-read"), 404},
		"nobody":                             {id, nil, 401},
		"an empty token":                     {id, []string{"Authorization", "Bearer "}, 401},
		"init data":                          {id, tma(signed(gameBot, now, vlad)), 401},
		"its token, by a page of another app": {
			id, append(bearer(token), "Origin", "https://quiz.example"), 403,
		},
		"its token, by a page that nobody lists": {id, append(bearer(token), "Origin", "https://evil.example"), 403},
	} {
		t.Run(name, func(t *testing.T) {
			a := r.must(t, "GET", "/v1/views/"+string(tt.id), "", tt.headers...)
			if a.status != tt.status {
				t.Fatalf("answer %d %s, want %d", a.status, a.body, tt.status)
			}
			if diff := cmp.Diff(fmt.Sprint(refused), fmt.Sprint(a)); tt.status == 404 && diff != "" {
				t.Errorf("the answer tells what is wrong (-want +got):\n%s", diff)
			}
			if allowed := a.header.Get("Access-Control-Allow-Origin"); tt.status == 403 && allowed != "" {
				t.Errorf("the page that is refused may read the answer: %q", allowed)
			}
		})
	}
}

func TestAskAnswers(t *testing.T) {
	expires := now.Add(DefaultExpiry)
	held := confirmed(now)
	held.Reward.State, held.Reward.Until = carom.RewardHeld, now.Add(72*time.Hour)
	reward := map[string]any{"id": string(carom.NewRewardID(1, 1)), "rule": "watch", "amount": "5", "currency": "coins", "state": "granted"}
	heldReward := map[string]any{"until": "2024-12-10T19:33:20Z"}
	for k, v := range reward {
		if heldReward[k] == nil {
			heldReward[k] = v
		}
	}
	heldReward["state"] = "held"
	for _, tt := range []struct {
		name    string
		outcome carom.ViewOutcome
		at      time.Time // when it is asked
		want    map[string]any
	}{
		{"open", carom.ViewOutcome{State: carom.ViewOpen}, now, map[string]any{"state": "open"}},
		{"unpaid so far", carom.ViewOutcome{State: carom.ViewOpen, Unpaid: true}, now, map[string]any{"state": "open", "unpaid": true}},
		{"confirmed", confirmed(now), now, map[string]any{"state": "confirmed", "reward": reward}},
		{"confirmed at the last moment", confirmed(expires), expires.Add(time.Hour), map[string]any{"state": "confirmed", "reward": reward}},
		{"confirmed late", confirmed(expires.Add(time.Second)), expires.Add(time.Hour), map[string]any{"state": "confirmed", "reward": reward, "late": true}},
		{"held", held, now, map[string]any{"state": "confirmed", "reward": heldReward}},
		{
			"declined", carom.ViewOutcome{State: carom.ViewDeclined, Reason: carom.DeclineCapped, Unpaid: true}, now,
			map[string]any{"state": "declined", "reason": "capped", "unpaid": true},
		},
		{"expired by its time", carom.ViewOutcome{State: carom.ViewOpen, Unpaid: true}, expires, map[string]any{"state": "expired", "unpaid": true}},
		{"expired by another view", carom.ViewOutcome{State: carom.ViewExpired}, now, map[string]any{"state": "expired"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := now
			r := newRig(t, func(o *Options) { o.Clock = func() time.Time { return at } })
			id, token := r.opened(t, "")
			r.settle(id, tt.outcome)
			at = tt.at
			// None but the first is waited for: all others are settled.
			path := "/v1/views/" + string(id)
			if tt.name != "open" {
				path += "?wait=60s"
			}
			a := r.must(t, "GET", path, "", bearer(token)...)
			tt.want["view_id"], tt.want["expires_at"] = string(id), expires.Format(time.RFC3339)
			if tt.want["unpaid"] == nil {
				tt.want["unpaid"] = false
			}
			if diff := cmp.Diff(tt.want, a.json()); a.status != 200 || diff != "" {
				t.Errorf("answer %d (-want +got):\n%s", a.status, diff)
			}
			if a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v, want an answer that no cache keeps", a.header)
			}
		})
	}
}

func TestAskRefusesQuestions(t *testing.T) {
	r := newRig(t, nil)
	id, token := r.opened(t, "")
	for query, field := range map[string]string{
		"wait=61s": "wait", "wait=-1s": "wait", "wait=25": "wait", "wait=soon": "wait", "unpaid=perhaps": "unpaid",
	} {
		a := r.must(t, "GET", "/v1/views/"+string(id)+"?"+query, "", bearer(token)...)
		if a.status != http.StatusBadRequest || a.text("field") != field {
			t.Errorf("%s: %d %s, want 400 at %s", query, a.status, a.body, field)
		}
	}
	for _, fail := range []error{carom.ErrUnavailable, errors.New("broken")} {
		r.store.fail = fail
		a := r.must(t, "GET", "/v1/views/"+string(id), "", bearer(token)...)
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "5" {
			t.Errorf("with the error %q: %d %s, want 503 with Retry-After", fail, a.status, a.body)
		}
	}
}

func TestTokenEndsADayAfterTheView(t *testing.T) {
	at := now
	r := newRig(t, func(o *Options) { o.Clock = func() time.Time { return at } })
	id, token := r.opened(t, "")
	at = now.Add(DefaultExpiry + TokenGrace)
	if a := r.must(t, "GET", "/v1/views/"+string(id), "", bearer(token)...); a.status != 200 || a.text("state") != "expired" {
		t.Errorf("a day after: %d %s, want expired", a.status, a.body)
	}
	at = at.Add(time.Millisecond)
	if a := r.must(t, "GET", "/v1/views/"+string(id), "", bearer(token)...); a.status != http.StatusGone || !strings.Contains(a.text("detail"), "open a new view") {
		t.Errorf("later: %d %s, want 410 that says what to do", a.status, a.body)
	}
	if a := r.must(t, "GET", "/v1/views/"+string(id), "", bearer("all-read")...); a.status != 200 {
		t.Errorf("later, with a key: %d %s, want 200", a.status, a.body)
	}
}

// waited is the answer to a question that took some time.
type waited struct {
	State  string
	Unpaid bool
	After  time.Duration
}

// asking asks in the background, and returns the channel on which the answer comes.
func (r *rig) asking(t *testing.T, id carom.ViewID, token, query string) <-chan waited {
	t.Helper()
	began, answers := time.Now(), make(chan waited, 1)
	go func() {
		a, err := r.do(t.Context(), "GET", "/v1/views/"+string(id)+"?"+query, "", bearer(token)...)
		if err != nil || a.status != 200 {
			t.Errorf("ask with %s: %d %s (%v)", query, a.status, a.body, err)
		}
		unpaid, _ := a.json()["unpaid"].(bool)
		answers <- waited{a.text("state"), unpaid, time.Since(began)}
	}()
	return answers
}

// TestWait runs on the clock of a bubble: every instant is exact. The server cuts requests off after 30 s, as the real one
// does, and a wait goes on for longer.
func TestWait(t *testing.T) {
	unpaid := carom.ViewOutcome{State: carom.ViewOpen, Unpaid: true}
	type news struct {
		after time.Duration // the news before
		carom.ViewOutcome
	}
	for _, tt := range []struct {
		name   string
		expiry string
		query  string
		news   []news
		want   waited
	}{
		{"nothing comes", "10m", "wait=25s", nil, waited{"open", false, 25 * time.Second}},
		{"nothing comes, for longer than requests usually may take", "10m", "wait=1m", nil, waited{"open", false, time.Minute}},
		{"a confirmation", "10m", "wait=50s", []news{{45 * time.Second, confirmed(now)}}, waited{"confirmed", false, 45 * time.Second}},
		{"declined", "10m", "wait=25s", []news{{time.Second, carom.ViewOutcome{State: carom.ViewDeclined}}}, waited{"declined", false, time.Second}},
		{"the view expires", "10s", "wait=25s", nil, waited{"expired", false, 10 * time.Second}},
		{"the view expires as the wait ends", "25s", "wait=25s", nil, waited{"expired", false, 25 * time.Second}},
		{"expired by another view", "10m", "wait=25s", []news{{time.Second, carom.ViewOutcome{State: carom.ViewExpired}}}, waited{"expired", false, time.Second}},
		{"unpaid is news", "10m", "wait=25s", []news{{time.Second, unpaid}}, waited{"open", true, time.Second}},
		{"unpaid is known, then paid", "10m", "wait=25s&unpaid=1", []news{{time.Second, unpaid}, {time.Second, confirmed(now)}}, waited{"confirmed", false, 2 * time.Second}},
		{"unpaid is known, then expired", "20s", "wait=25s&unpaid=1", []news{{time.Second, unpaid}}, waited{"expired", true, 20 * time.Second}},
		{"news that changes nothing", "10m", "wait=25s", []news{{time.Second, carom.ViewOutcome{State: carom.ViewOpen}}}, waited{"open", false, 25 * time.Second}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := pipeRig(t, nil)
				id, token := r.opened(t, `, "expires_in": "`+tt.expiry+`"`)
				answers := r.asking(t, id, token, tt.query)
				synctest.Wait()
				for _, n := range tt.news {
					<-time.After(n.after)
					r.settle(id, n.ViewOutcome)
				}
				if diff := cmp.Diff(tt.want, <-answers); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
				synctest.Wait()
				if n := r.waiting.total.Load(); n != 0 || len(r.waiting.byView) != 0 {
					t.Errorf("%d still wait, for %d views", n, len(r.waiting.byView))
				}
			})
		})
	}
}

// TestNewsIsNotMissed: whatever the moment of the news, the one who waits hears of it at once.
func TestNewsIsNotMissed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		place func(r *rig, id carom.ViewID)
	}{
		{"stored and told before", func(r *rig, id carom.ViewID) { r.settle(id, confirmed(now)) }},
		{"told between the look at the store and the wait", func(r *rig, id carom.ViewID) {
			r.store.reading = func() { r.settle(id, confirmed(now)) }
		}},
		{"news of before the look comes after it", func(r *rig, id carom.ViewID) {
			r.settle(id, confirmed(now))
			r.store.reading = func() { r.Tell(id, carom.ViewOutcome{State: carom.ViewOpen, Unpaid: true}) }
		}},
		{"a second event is declined, as the first has paid", func(r *rig, id carom.ViewID) {
			r.store.reading = func() {
				r.settle(id, confirmed(now))
				r.Tell(id, carom.ViewOutcome{State: carom.ViewDeclined, Reason: carom.DeclineRewarded})
			}
		}},
		{"two at once, the first unpaid", func(r *rig, id carom.ViewID) {
			r.store.reading = func() {
				r.Tell(id, carom.ViewOutcome{State: carom.ViewOpen, Unpaid: true})
				r.settle(id, confirmed(now))
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := pipeRig(t, nil)
				id, token := r.opened(t, "")
				tt.place(r, id)
				if got := <-r.asking(t, id, token, "wait=25s"); got.State != "confirmed" || got.After != 0 {
					t.Errorf("answer %+v, want confirmed at once", got)
				}
			})
		})
	}
}

// TestNewsAtTheLastMoment: when the view expires at the moment of the news, the news counts.
func TestNewsAtTheLastMoment(t *testing.T) {
	d := newDoor(nil).Door
	for range 100 { // a select of what is ready chooses at random
		news := make(chan carom.ViewOutcome, 1)
		news <- confirmed(now)
		v := &carom.View{ExpiresAt: now}
		if o := d.hold(t.Context(), v, carom.ViewOutcome{State: carom.ViewOpen}, news, question{wait: time.Minute}); o.State != carom.ViewConfirmed {
			t.Fatalf("the view is %s, want confirmed", o.State)
		}
	}
}

func TestWaitEndsWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		r := pipeRig(t, func(o *Options) { o.Done = done })
		id, token := r.opened(t, "")
		answers := r.asking(t, id, token, "wait=25s")
		<-time.After(3 * time.Second)
		close(done)
		if diff := cmp.Diff(waited{"open", false, 3 * time.Second}, <-answers); diff != "" {
			t.Errorf("the one who waits (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(waited{"open", false, 0}, <-r.asking(t, id, token, "wait=25s")); diff != "" {
			t.Errorf("the one who comes later (-want +got):\n%s", diff)
		}
	})
}

func TestWaitEndsWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := pipeRig(t, nil)
		id, token := r.opened(t, "")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := r.do(ctx, "GET", "/v1/views/"+string(id)+"?wait=60s", "", bearer(token)...)
			ended <- err
		}()
		<-time.After(40 * time.Second) // beyond the server's limit on the time of a request
		if got := r.counted(t, "carom_views_waiting"); !cmp.Equal(got, []float64{1}) {
			t.Errorf("%v wait, want 1", got)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the client's error is %v", err)
		}
		synctest.Wait()
		if got := r.counted(t, "carom_views_waiting"); !cmp.Equal(got, []float64{0}) {
			t.Errorf("%v wait when the client has gone, want 0", got)
		}
	})
}

func TestWaitingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := pipeRig(t, nil)
		id, token := r.opened(t, "")
		path := "/v1/views/" + string(id) + "?wait=25s"
		var all []<-chan waited
		for range maxWaitingPerView {
			all = append(all, r.asking(t, id, token, "wait=25s"))
		}
		synctest.Wait()
		if a := r.must(t, "GET", path, "", bearer(token)...); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "5" {
			t.Errorf("one more: %d %s, want 429 with Retry-After", a.status, a.body)
		}
		if a := r.must(t, "GET", "/v1/views/"+string(id), "", bearer(token)...); a.status != 200 {
			t.Errorf("without a wait: %d %s, want 200", a.status, a.body)
		}
		other, otherToken := r.opened(t, "")
		r.waiting.total.Add(maxWaiting)
		if a := r.must(t, "GET", "/v1/views/"+string(other)+"?wait=25s", "", bearer(otherToken)...); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "5" {
			t.Errorf("one too many of all: %d %s, want 503 with Retry-After", a.status, a.body)
		}
		r.settle(id, confirmed(now))
		if a := r.must(t, "GET", path, "", bearer(token)...); a.status != 200 || a.text("state") != "confirmed" {
			t.Errorf("what is settled, when nobody more may wait: %d %s, want 200", a.status, a.body)
		}
		r.waiting.total.Add(-maxWaiting)
		for _, answers := range all {
			if got := <-answers; got.State != "confirmed" {
				t.Errorf("one who waits got %+v, want confirmed", got)
			}
		}
	})
}

func TestFewerMayWaitWhereConnectionsAreFew(t *testing.T) {
	w := waiting{most: 2}
	for i, want := range []room{hasRoom, hasRoom, allFull} {
		if _, got := w.join(carom.ViewID(fmt.Sprint(i))); got != want {
			t.Errorf("join %d: %d, want %d", i+1, got, want)
		}
	}
}
