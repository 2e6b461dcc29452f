package probe

import (
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

const (
	burstSize   = 50 // at once: a zone of a middling app in a busy second
	burstSample = 5  // how many of them are looked up in the books
)

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// isLocal says whether the receiver is on this machine.
func (t *urlTemplate) isLocal() bool {
	addr, err := netip.ParseAddr(strings.Trim(t.host, "[]"))
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(t.host, "localhost")
}

func checkMethod(t *trial) {
	for _, method := range []string{http.MethodPost, http.MethodHead} {
		p := t.view(t.account(), t.pays, notValued)
		p.method = method
		if a := t.send(p); !t.survived(&a, "a "+method) {
			return
		}
	}
}

func checkUnknownPath(t *trial) {
	p := t.view(t.account(), t.pays, valued)
	p.path = t.mark + "-made-up"
	a := t.send(p)
	if a.ok() {
		t.fail(CatchAll, "A path that does not exist is answered with success: should the URL at the network be mistyped, every event is lost, and everybody believes that all is well.",
			"Answer 404 to every path that is not yours, also where a single-page app has its start page.")
	}
}

// checkBurst looks for rate limiters, and for receivers that break when many come at once.
func checkBurst(t *trial) {
	if t.limited {
		t.fail(Limits, fmt.Sprintf("After %d postbacks the receiver answered 429 to genuine ones: a busy day's events are repeated or lost.", t.requests),
			"Take the rate limiter away from the postback route: the secret is what keeps strangers out.")
		return
	}
	var burst []*postback
	var sample []*account
	for i := range burstSize {
		acc := &account{Account: t.newAccount()}
		if i < burstSample && t.user == "" {
			acc = t.account()
			sample = append(sample, acc)
		}
		burst = append(burst, t.view(acc, t.pays, valued))
	}
	for _, a := range t.atOnce(burst) {
		if a.status == http.StatusTooManyRequests {
			t.fail(Limits, fmt.Sprintf("Of %d honest postbacks at once some were answered 429: a busy second's events are repeated or lost.", burstSize),
				"Take the rate limiter away from the postback route: the secret is what keeps strangers out.")
			return
		}
		if !t.accepted(&a, fmt.Sprintf("one of %d honest postbacks at once", burstSize)) {
			return
		}
	}
	if t.paid[t.pays] == nil {
		return
	}
	t.later(func() {
		for _, acc := range sample {
			if got, ok := t.await(acc, new(big.Rat)); ok && got.Sign() <= 0 {
				t.fail(Loses, fmt.Sprintf("Of %d honest postbacks at once, all accepted, some were never paid.", burstSize), lost.fix)
				return
			}
		}
	})
}
