package probe

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"carom"
)

// The words and values that a plain postback has.
const (
	valued, notValued = string(carom.Valued), string(carom.NotValued)
	click, impression = string(carom.Click), string(carom.Impression)
	usualPrice        = "0.0023"
)

// session is what the checks of one run share. It belongs to the goroutine of Run.
type session struct {
	tmpl   *urlTemplate
	kind   carom.YMIDKind
	format string
	user   string            // whom all postbacks are for; empty: made up
	values map[string]string // fixed by the target
	mark   string
	books  Books
	settle time.Duration
	client *client
	done   func(*Check, int, int)
	hungUp func(context.Context)

	// What has been learned so far.
	first    answer              // to the very first postback
	firstOf  *account            // whom it was for
	reached  bool                // it was answered
	genuine  answer              // to a genuine postback that was accepted
	pays     string              // the event type that pays
	paid     map[string]*big.Rat // what one event pays a fresh user, by event type; nil: not credited, or no books
	byPrice  bool                // another price pays another amount
	linear   bool                // twice the price pays twice the amount
	stop     string              // why nothing more is tried
	limited  bool                // a rate limiter answers genuine postbacks
	silences int                 // exchanges that brought no answer

	accounts, views, requests int
	lastSent                  time.Time
	checks                    []Check
}

// account is a user in a check, with what the user had before it.
type account struct {
	Account
	before *big.Rat // nil without books
	err    error    // of reading it
}

// postback is one request of the network. Its zero values are a plain GET.
type postback struct {
	values     map[string]string
	method     string
	secret     *string  // instead of the right one
	dropSecret bool     // leave the secret's parameter away
	drop       []string // macros whose parameters are left away
	query      []param  // instead of the template's
	path       string   // instead of the template's, without a leading slash
}

// trial is one check while it runs.
type trial struct {
	*session
	ctx    context.Context
	check  *Check
	judges []func() // run when what was sent has settled
}

// run tries all checks, lets the receiver settle, and judges them.
func (s *session) run(ctx context.Context, rows []row) {
	s.checks = make([]Check, len(rows))
	var trials []*trial
	for i, r := range rows {
		c := &s.checks[i]
		*c = Check{ID: r.id, Group: r.group, Title: r.title}
		t := &trial{session: s, ctx: ctx, check: c}
		if why := s.skips(ctx, &r); why != "" {
			t.skip(why)
		} else {
			r.run(t)
			if s.limited && c.ID != burstID {
				c.Verdict, c.Harm, c.Fix, t.judges = "", "", "", nil
				t.unknown("A rate limiter answered in place of the receiver.")
			}
		}
		if len(t.judges) > 0 {
			trials = append(trials, t)
		}
		if s.user != "" { // one balance for all: it must not move any more when the next check begins
			s.rest(ctx)
		}
		if s.done != nil {
			s.done(c, i+1, len(rows))
		}
	}
	s.conclude(ctx, trials)
	for i := range s.checks {
		if c := &s.checks[i]; c.Verdict == "" {
			c.Verdict, c.Meaning = Pass, rows[i].good
		}
	}
}

// skips says why a check cannot be tried; empty: it can.
func (s *session) skips(ctx context.Context, r *row) string {
	switch {
	case ctx.Err() != nil:
		return "The run was ended before."
	case s.stop != "":
		return s.stop
	case s.limited && r.id != burstID:
		return "A rate limiter answers in place of the receiver."
	}
	for _, m := range r.needs {
		if !s.tmpl.has(m) {
			return "The URL has no {" + m + "}."
		}
	}
	return ""
}

// conclude waits until what was sent has settled, and judges.
func (s *session) conclude(ctx context.Context, trials []*trial) {
	if len(trials) == 0 {
		return
	}
	s.rest(ctx)
	for _, t := range trials {
		for _, judge := range t.judges {
			t.judge(judge)
		}
	}
}

// rest waits until the receiver has had time to credit what was sent last.
func (s *session) rest(ctx context.Context) {
	if s.books != nil {
		pause(ctx, s.settle-time.Since(s.lastSent))
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// newAccount makes up a user, or takes the target's.
func (s *session) newAccount() Account {
	s.accounts++
	a := Account{User: s.user, TelegramID: strconv.FormatInt(7_000_000_000_000+mathrand.Int64N(1_000_000_000)*1000+int64(s.accounts), 10)}
	if a.User == "" {
		a.User = fmt.Sprintf("%s-%02d", s.mark, s.accounts)
	}
	if id := s.values["telegram_id"]; id != "" {
		a.TelegramID = id
	}
	a.YMID = s.ymid(&a)
	return a
}

func (s *session) ymid(a *Account) string {
	return strings.NewReplacer("{user}", a.User, "{id}", strings.ToLower(rand.Text()[:12])).Replace(s.format)
}

// account makes a user and reads what it has.
func (t *trial) account() *account { return t.watch(t.newAccount()) }

// watch reads what an account has before the check touches it.
func (t *trial) watch(a Account) *account {
	w := &account{Account: a}
	if t.books != nil {
		w.before, w.err = t.books.Balance(t.ctx, a)
	}
	return w
}

// view is a paid or unpaid event of a new view of a user.
func (s *session) view(a *account, eventType, value string) *postback {
	s.views++
	v := map[string]string{
		"ymid": a.YMID, "telegram_id": a.TelegramID, "zone_id": "8790478", "sub_zone_id": "8790479", "request_var": "probe",
		"event_type": eventType, "reward_event_type": value, "estimated_price": usualPrice,
	}
	if s.kind != carom.YMIDView { // only this tells one view from the next
		v["request_var"] = "probe-" + strconv.Itoa(s.views)
	}
	maps.Copy(v, s.values)
	v["event_type"], v["reward_event_type"] = eventType, value
	return &postback{values: v}
}

// another is an event of another view of the same user.
func (s *session) another(a *account, eventType, value string) *postback {
	p := s.view(a, eventType, value)
	if s.kind == carom.YMIDView {
		p.values["ymid"] = s.ymid(&a.Account)
	}
	return p
}

// with is a copy of a postback in which one macro has another value.
func (p *postback) with(macro, value string) *postback {
	c := *p
	c.values = maps.Clone(p.values)
	c.values[macro] = value
	return &c
}

// as is another event of the same view.
func (p *postback) as(eventType, value string) *postback {
	return p.with("event_type", eventType).with("reward_event_type", value)
}

// send sends a postback and notes the exchange.
func (t *trial) send(p *postback) answer {
	method := p.method
	if method == "" {
		method = http.MethodGet
	}
	target := t.tmpl.fill(p)
	a := t.client.do(t.ctx, method, target, nil)
	t.note(t.line(method, target), &a)
	if a.status == http.StatusTooManyRequests && !t.limited {
		t.control()
	}
	return a
}

// control finds out whether a 429 was meant for that postback, or comes from a limiter that meets every one: it sends a genuine
// one of a fresh user.
func (t *trial) control() {
	target := t.tmpl.fill(t.view(&account{Account: t.newAccount()}, t.pays, valued))
	a := t.client.do(t.ctx, http.MethodGet, target, nil)
	t.note(t.line(http.MethodGet, target), &a)
	t.limited = a.status == http.StatusTooManyRequests
}

// note counts and records an exchange.
func (t *trial) note(sent string, a *answer) {
	t.requests++
	t.lastSent = time.Now()
	t.check.Sent = append(t.check.Sent, t.exchange(sent, a))
	if a.phase == phaseTimeout || a.phase == phaseConnect {
		const patience = 3
		if t.silences++; t.silences == patience && t.stop == "" {
			t.stop = fmt.Sprintf("Not tried, since %d postbacks went unanswered.", patience)
		}
	}
}

// line is a request as a report shows it.
func (t *trial) line(method, target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return method
	}
	return method + " " + safeLine(t.tmpl.mask(u.RequestURI()))
}

// safeLine cuts a URL that is made up of one long value.
func safeLine(s string) string {
	const most = 400
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// atOnce sends postbacks at the same time. Answers that are alike are noted as one exchange.
func (t *trial) atOnce(postbacks []*postback) []answer {
	answers := make([]answer, len(postbacks))
	var all sync.WaitGroup
	for i, p := range postbacks {
		target := t.tmpl.fill(p)
		all.Go(func() { answers[i] = t.client.do(t.ctx, http.MethodGet, target, nil) })
	}
	all.Wait()
	seen := map[string]int{} // the place of an exchange in the check, by status and error
	for i := range answers {
		a := &answers[i]
		key := strconv.Itoa(a.status) + string(a.phase)
		if at, ok := seen[key]; ok {
			t.requests++
			e := &t.check.Sent[at]
			e.Times, e.TookMS = max(e.Times, 1)+1, max(e.TookMS, a.took.Milliseconds())
			continue
		}
		seen[key] = len(t.check.Sent)
		t.note(t.line(http.MethodGet, t.tmpl.fill(postbacks[i])), a)
	}
	t.lastSent = time.Now()
	return answers
}

// credit is what an account has got since it was made. ok is false, and the check decided, when the books do not say.
func (t *trial) credit(a *account) (got *big.Rat, ok bool) {
	now, err := (*big.Rat)(nil), a.err
	if err == nil {
		now, err = t.books.Balance(t.ctx, a.Account)
	}
	if err != nil {
		t.unread(err)
		return nil, false
	}
	return now.Sub(now, a.before), true
}

// await polls for a credit of at least want, as long as crediting may take, and returns what there is then.
func (t *trial) await(a *account, want *big.Rat) (got *big.Rat, ok bool) {
	const slowest = 200 * time.Millisecond
	deadline := time.Now().Add(t.settle)
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, slowest) {
		if got, ok = t.credit(a); !ok || want.Sign() > 0 && got.Cmp(want) >= 0 || want.Sign() == 0 && got.Sign() != 0 {
			return got, ok
		}
		if t.ctx.Err() != nil || !time.Now().Before(deadline) {
			return got, ok
		}
		pause(t.ctx, wait)
	}
}

// provable says whether the books tell what was paid. If not, it decides the check: what is open, with the reason.
func (t *trial) provable(open string) bool {
	switch {
	case t.books == nil:
		t.unknown(open + " Only its books know: give --balance or --balance-command.")
	case t.paid[t.pays] == nil:
		t.unknown(open + " Its books do not show it, since they do not even show a genuine event.")
	default:
		return true
	}
	return false
}
