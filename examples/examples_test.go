//go:build unix

// Package examples_test runs the examples with their real runtimes: against a live carom, against copies and forgeries, and
// killed at every point between a mark and an answer.
package examples_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"carom/internal/api"
	"carom/internal/caromtest"
)

// coinsPerView is what each of the examples pays.
const coinsPerView = 5

func TestExamples(t *testing.T) {
	for name, find := range map[string]func(*testing.T) runtime{
		"go": goRuntime, "node": nodeRuntime, "php": phpRuntime, "python": pythonRuntime,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t, find(t))
			carom := caromtest.Start(t, caromtest.Options{Objects: objects(b.url)})
			t.Run("without secrets", func(t *testing.T) { testWithoutSecrets(t, b) })
			// Four workers make PHP's own server take requests in parallel, as the others do.
			b.restart(t, "PHP_CLI_SERVER_WORKERS=4")
			t.Run("through carom", func(t *testing.T) { testThroughCarom(t, b, carom) })
			t.Run("copies in parallel", func(t *testing.T) { testCopies(t, b) })
			t.Run("forgeries", func(t *testing.T) { testForgeries(t, b) })
			t.Run("settled without pay", func(t *testing.T) { testSettled(t, b) })
			t.Run("a database that fails", func(t *testing.T) { testFailingDatabase(t, b) })
			t.Run("rewards", func(t *testing.T) { testRewards(t, b) })
			paying := caromtest.Start(t, caromtest.Options{Objects: payingObjects(b.url)})
			t.Run("rewards through carom", func(t *testing.T) { testRewardsThroughCarom(t, b, paying) })
			t.Run("crashes with rewards", func(t *testing.T) { testRewardCrashes(t, b, paying) })
			t.Run("crashes", func(t *testing.T) { testCrashes(t, b, carom) })
		})
	}
}

// objects has carom send what comes through the door of caromtest to a backend, signed.
func objects(url string) string {
	return caromtest.Monetag("ymid: view", url+"/carom") + `        method: POST
        signing_secret: "` + caromSecret + `"
`
}

// payingObjects has carom pay by a rule of its own, and send the rewards to a backend, signed.
func payingObjects(url string) string {
	return strings.Replace(caromtest.Monetag("ymid: view", url+"/carom"), "    sources:\n", `    currencies: { coins: 0 }
    rules:
      watch:
        filter: { event_types: [impression, click] }
        price: 12 coins
    sources:
`, 1) + `        method: POST
        sends: rewards
        signing_secret: "` + caromSecret + `"
`
}

// door is the query of a postback to carom.
func door(eventType, value, ymid string) string {
	return "ymid=" + ymid + "&zone_id=1&event_type=" + eventType + "&reward_event_type=" + value
}

// delivered waits until every delivery of every event has ended, and fails the test unless each was delivered.
func delivered(t *testing.T, carom *caromtest.Server, ymid string) (attempts int) {
	t.Helper()
	for _, e := range carom.Events(t, "ymid="+ymid) {
		caromtest.Until(t, "the deliveries for "+ymid, func() bool {
			var story api.Story
			carom.Get(t, "/v1/events/"+string(e.ID), &story)
			for _, d := range story.Deliveries {
				switch d.State {
				case "pending":
					return false
				case "delivered":
					attempts += len(d.Attempts)
				default:
					t.Fatalf("the delivery %s is %s", d.ID, d.State)
				}
			}
			return true
		})
	}
	return attempts
}

// owns checks a balance.
func owns(t *testing.T, b *backend, user string, want int) {
	t.Helper()
	if got := b.coins(t, user); got != want {
		t.Errorf("%s has %d coins, want %d", user, got, want)
	}
}

// Without its secrets an example does not start; PHP, which has no start of its own, answers nothing but 500.
func testWithoutSecrets(t *testing.T, b *backend) {
	for _, unset := range []string{"CAROM_SECRET=", "NETWORK_SECRET=", "NETWORK_SECRET=short"} {
		if b.dir == "php" {
			b.restart(t, unset)
			b.answers(t, paid("click", "nobody.00000000"), 500)
			b.answers(t, signed(t, caromSecret, "dlv_nobody", event("dlv_nobody", "click", "nobody.00000000"), time.Now()), 500)
			continue
		}
		b.launch(t, unset)
		caromtest.Until(t, "the example to end with "+unset, b.isGone)
		if b.cmd.ProcessState.Success() {
			t.Errorf("with %s it ended well, want an error", unset)
		}
		if !strings.Contains(b.log.String(), "set CAROM_SECRET and NETWORK_SECRET") {
			t.Errorf("it does not say what is missing: %s", b.log)
		}
		b.kill()
	}
	owns(t, b, "nobody", 0)
}

// What the network sends to carom, in an order that leads others astray, ends as one payment for each view.
func testThroughCarom(t *testing.T, b *backend, carom *caromtest.Server) {
	for _, query := range []string{
		door("impression", "not_valued", "ann.11111111"), // first, and unpaid
		door("click", "valued", "ann.11111111"),
		door("impression", "valued", "ann.11111111"),
		door("impression", "valued", "ann.11111111"), // a copy
		door("impression", "valued", "bob.22222222"),
		door("click", "valued", "bob.33333333"), // another view
		door("click", "not_valued", "cid.44444444"),
		door("click", "valued", "dan"), // an ymid that the app did not make
	} {
		carom.Accepted(t, query)
	}
	for ymid, want := range map[string]int{"ann.11111111": 3, "bob.22222222": 1, "bob.33333333": 1, "cid.44444444": 1, "dan": 1} {
		if got := delivered(t, carom, ymid); got != want {
			t.Errorf("%s took %d attempts, want %d", ymid, got, want)
		}
	}
	owns(t, b, "ann", coinsPerView)
	owns(t, b, "bob", 2*coinsPerView)
	owns(t, b, "cid", 0)
	owns(t, b, "dan", 0)
}

// Copies of one delivery, and impressions and clicks of one view by both routes, all at once.
func testCopies(t *testing.T, b *backend) {
	now := time.Now()
	var requests []request
	for range 8 {
		requests = append(requests,
			signed(t, caromSecret, "dlv_eve", event("dlv_eve", "click", "eve.11111111"), now),
			signed(t, previousSecret, "dlv_eve2", event("dlv_eve2", "impression", "eve.11111111"), now),
			paid("impression", "eve.11111111"), paid("click", "eve.11111111"),
			paid("impression", "fay.11111111"), paid("click", "fay.11111111"),
		)
	}
	var all sync.WaitGroup
	for _, r := range requests {
		all.Go(func() { b.answers(t, r, 200) })
	}
	all.Wait()
	owns(t, b, "eve", coinsPerView)
	owns(t, b, "fay", coinsPerView)
}

func testForgeries(t *testing.T, b *backend) {
	now := time.Now()
	const query = "&ymid=gil.11111111&zone_id=1&event_type=click&reward_event_type=valued"
	body := event("dlv_gil", "click", "gil.11111111")
	with := func(r request, name, value string) request {
		r.header = r.header.Clone()
		r.header.Set(name, value)
		return r
	}
	good := signed(t, caromSecret, "dlv_gil", body, now)
	altered, unsigned := good, good
	altered.body = strings.Replace(body, "gil", "gal", 1)
	unsigned.header = nil
	for name, r := range map[string]request{
		"no signature":          unsigned,
		"another secret":        signed(t, networkSecret, "dlv_gil", body, now),
		"an altered body":       altered,
		"another delivery":      with(good, "Webhook-Id", "dlv_gal"),
		"a bent timestamp":      with(good, "Webhook-Timestamp", "1"),
		"no number":             with(good, "Webhook-Timestamp", "now"),
		"an empty signature":    with(good, "Webhook-Signature", ""),
		"half a signature":      with(good, "Webhook-Signature", good.header.Get("Webhook-Signature")[:20]),
		"an old one":            signed(t, caromSecret, "dlv_gil", body, now.Add(-6*time.Minute)),
		"one of the future":     signed(t, caromSecret, "dlv_gil", body, now.Add(6*time.Minute)),
		"no network secret":     get(query[1:]),
		"an empty one":          get("secret=" + query),
		"a wrong one":           get("secret=staple-of-the-networl" + query),
		"the beginning of it":   get("secret=staple" + query),
		"more than it":          get("secret=" + networkSecret + "x" + query),
		"a list":                get("secret[]=" + networkSecret + query),
		"carom's secret":        get("secret=" + caromSecret + query),
		"another one before it": get("secret=wrong&secret=" + networkSecret + query),
	} {
		got, err := b.ask(r)
		// Of a secret that comes twice, some frameworks see the first and some the last: then it is settled, and not paid.
		if err != nil || got != 403 && (got != 200 || name != "another one before it") {
			t.Errorf("%s was answered %d (%v), want 403", name, got, err)
		}
	}
	owns(t, b, "gil", 0)
	owns(t, b, "gal", 0)
	b.answers(t, good, 200)
	owns(t, b, "gil", coinsPerView)
}

// What comes from the network or from carom and earns nothing is answered 200, so that it does not come again.
func testSettled(t *testing.T, b *backend) {
	const all = "secret=" + networkSecret + "&zone_id=1"
	for _, query := range []string{
		"&ymid=hal.11111111&event_type=click&reward_event_type=not_valued",
		"&ymid=hal.11111111&event_type=click&reward_event_type=VALUED",
		"&ymid=hal.11111111&event_type=click&reward_event_type=",
		"&ymid=hal.11111111&event_type=click",
		"&ymid=hal.11111111&event_type=reversal&reward_event_type=valued",
		"&ymid=hal.11111111&reward_event_type=valued",
		"&ymid=hal.11111111&ymid=hal.22222222&event_type=click&reward_event_type=valued",
		"&ymid=hal&event_type=click&reward_event_type=valued",
		"&ymid=&event_type=click&reward_event_type=valued",
		"&event_type=click&reward_event_type=valued",
		"&ymid=%7Bymid%7D&event_type=click&reward_event_type=valued",
		"&ymid=hal.11111111%0A&event_type=click&reward_event_type=valued",
	} {
		b.answers(t, get(all+query), 200)
	}
	now := time.Now()
	trial := strings.Replace(event("dlv_hal", "click", "hal.11111111"), `"zone_id"`, `"test":true,"zone_id"`, 1)
	reward := rewardBody("granted", "hal", "3")
	for _, body := range []string{trial, event("dlv_hal", "completion", "hal.11111111"), reward} {
		b.answers(t, signed(t, caromSecret, "dlv_hal", body, now), 200)
	}
	owns(t, b, "hal", 0)
	// Nothing of all that has used up the view.
	b.answers(t, paid("click", "hal.11111111"), 200)
	owns(t, b, "hal", coinsPerView)
}

// While the database fails nothing is answered 200, and afterwards the repeat pays.
func testFailingDatabase(t *testing.T, b *backend) {
	now := time.Now()
	delivery := signed(t, caromSecret, "dlv_ian", event("dlv_ian", "click", "ian.11111111"), now)
	b.execute(t, "CREATE TRIGGER broken BEFORE INSERT ON balances BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
	b.answers(t, delivery, 500)
	b.answers(t, paid("click", "ian.22222222"), 503)
	owns(t, b, "ian", 0)
	b.execute(t, "DROP TRIGGER broken")
	b.answers(t, delivery, 200)
	b.answers(t, paid("click", "ian.22222222"), 200)
	owns(t, b, "ian", 2*coinsPerView)
}

// rewardBody is what carom sends about the only reward of a user.
func rewardBody(state, user, amount string) string {
	return `{"type":"reward.` + state + `","data":{"reward":{"id":"rwd_` + user + `","rule":"watch","amount":"` + amount +
		`","currency":"coins","user":"` + user + `","state":"` + state + `"}}}`
}

// With rules in carom it is rewards that are paid, and events are not.
func testRewards(t *testing.T, b *backend) {
	b.restart(t, "CAROM_RULES=on")
	now := time.Now()
	send := func(delivery, body string, status int) {
		t.Helper()
		b.answers(t, signed(t, caromSecret, delivery, body, now), status)
	}
	send("dlv_jan1", event("dlv_jan1", "click", "jan.11111111"), 200)
	owns(t, b, "jan", 0)
	for range 2 { // a repeat, and then the same reward by another delivery
		send("dlv_jan2", rewardBody("granted", "jan", "12"), 200)
	}
	send("dlv_jan3", rewardBody("granted", "jan", "12"), 200)
	owns(t, b, "jan", 12)
	for range 2 {
		send("dlv_jan4", rewardBody("reversed", "jan", "12"), 200)
	}
	owns(t, b, "jan", 0)
	// A reversal that comes before its reward.
	send("dlv_kim1", rewardBody("reversed", "kim", "7"), 200)
	owns(t, b, "kim", -7)
	send("dlv_kim2", rewardBody("granted", "kim", "7"), 200)
	owns(t, b, "kim", 0)
	// What cannot be booked is neither rounded nor dropped.
	send("dlv_lea", rewardBody("granted", "lea", "0.5"), 500)
	send("dlv_lea", strings.Replace(rewardBody("granted", "lea", "1"), "coins", "USD", 1), 500)
	owns(t, b, "lea", 0)
}

// What carom's rules pay is booked once for each view, and taken back once.
func testRewardsThroughCarom(t *testing.T, b *backend, carom *caromtest.Server) {
	b.restart(t, "CAROM_RULES=on")
	const user = "&telegram_id=7001"
	for range 2 {
		for _, event := range []string{"impression not_valued", "click valued", "impression valued"} {
			eventType, value, _ := strings.Cut(event, " ")
			carom.Accepted(t, door(eventType, value, "reward-1")+user)
		}
	}
	carom.Accepted(t, door("impression", "valued", "reward-2")+user)
	delivered(t, carom, "reward-1")
	delivered(t, carom, "reward-2")
	owns(t, b, "7001", 24)
	for range 2 {
		carom.Accepted(t, door("reversal", "", "reward-1")+user)
	}
	delivered(t, carom, "reward-1")
	owns(t, b, "7001", 12)
}

// The process is killed at each point of booking a reward, and of taking it back. carom sends both until they are booked.
func testRewardCrashes(t *testing.T, b *backend, carom *caromtest.Server) {
	for i, point := range []string{"after_mark", "after_grant", "before_answer"} {
		t.Run(point, func(t *testing.T) {
			ymid, user := "crash-"+point, "710"+string(rune('0'+i))
			for _, step := range []struct {
				query         string
				before, after int
			}{
				{door("click", "valued", ymid), 0, 12},
				{door("reversal", "", ymid), 12, 0},
			} {
				b.restart(t, "CAROM_RULES=on", "CRASH_AT="+point)
				carom.Accepted(t, step.query+"&telegram_id="+user)
				b.dies(t)
				left := step.before
				if point == "before_answer" {
					left = step.after
				}
				owns(t, b, user, left)
				b.start(t, "CAROM_RULES=on")
				delivered(t, carom, ymid)
				owns(t, b, user, step.after)
			}
		})
	}
}

// The process is killed at each point, started again, and sent the same again: by carom of its own accord, by the network as
// networks do. Each view is paid once, whatever was there when the process died.
func testCrashes(t *testing.T, b *backend, carom *caromtest.Server) {
	for point, left := range map[string]int{"after_mark": 0, "after_grant": 0, "before_answer": coinsPerView} {
		t.Run(point, func(t *testing.T) {
			user := strings.ReplaceAll(point, "_", "-")
			viaCarom, direct := user+"-c.11111111", user+"-n.11111111"

			b.restart(t, "CRASH_AT="+point)
			carom.Accepted(t, door("click", "valued", viaCarom))
			b.dies(t)
			owns(t, b, user+"-c", left)
			b.start(t)
			if attempts := delivered(t, carom, viaCarom); attempts < 2 {
				t.Errorf("it took %d attempts, want at least 2", attempts)
			}
			owns(t, b, user+"-c", coinsPerView)
			carom.Accepted(t, door("impression", "valued", viaCarom))
			delivered(t, carom, viaCarom)
			owns(t, b, user+"-c", coinsPerView)

			b.restart(t, "CRASH_AT="+point)
			if status, err := b.ask(paid("impression", direct)); err == nil {
				t.Errorf("the network was answered %d by a process that dies before", status)
			}
			b.dies(t)
			owns(t, b, user+"-n", left)
			b.start(t)
			b.answers(t, paid("impression", direct), 200)
			b.answers(t, paid("click", direct), 200)
			owns(t, b, user+"-n", coinsPerView)
		})
	}
}
