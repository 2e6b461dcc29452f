package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"carom"
	"carom/bench/pgbooks"
)

// facts are the accounts, and how the test went.
type facts struct {
	sums     sums
	entries  []entry
	flowed   time.Duration
	drained  time.Duration
	books    *pgbooks.Books
	open     map[int]bool // numbers of the endpoints whose breaker is open
	views    map[carom.ViewID]string
	ledger   carom.LedgerReport
	arrivals map[delivery]*arrival
	strange  int64
	pacedAt  []time.Time // attempts at the endpoint with a rate
	faults   []*occurrence
	logs     map[string]int // warnings and errors of the nodes, by text
}

// line is one line of the ledger. One with a rule must hold it.
type line struct {
	Text     string   `json:"text"`
	Value    string   `json:"value"`
	Rule     string   `json:"rule,omitempty"` // what the value must be
	Holds    bool     `json:"holds"`
	Examples []string `json:"examples,omitempty"`
}

// report is what is printed and written.
type report struct {
	At       string         `json:"at"`
	Seed     uint64         `json:"seed"`
	Rate     float64        `json:"rate"`
	Minutes  float64        `json:"minutes"`
	Senders  sums           `json:"senders"`
	Faults   []*occurrence  `json:"faults"`
	Lines    []line         `json:"lines"`
	Logs     map[string]int `json:"logs"`
	Violated int            `json:"violated"`
}

func (r *report) say(text, format string, args ...any) {
	r.Lines = append(r.Lines, line{Text: text, Value: fmt.Sprintf(format, args...), Holds: true})
}

func (r *report) must(text, value, rule string, holds bool) {
	r.Lines = append(r.Lines, line{Text: text, Value: value, Rule: rule, Holds: holds})
	if !holds {
		r.Violated++
	}
}

// none adds a line that must be zero.
func (r *report) none(text string, broken []string) {
	const shown = 5
	r.must(text, fmt.Sprint(len(broken)), "0", len(broken) == 0)
	r.Lines[len(r.Lines)-1].Examples = broken[:min(len(broken), shown)]
}

func (r *report) print(w io.Writer) {
	_, _ = fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, x := range r.Lines {
		verdict := ""
		switch {
		case x.Rule != "" && x.Holds:
			verdict = "must be " + x.Rule + "\tholds"
		case x.Rule != "":
			verdict = "must be " + x.Rule + "\tVIOLATED"
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\n", x.Text, x.Value, verdict)
	}
	_ = tw.Flush() // the exit code says the same
	for _, x := range r.Lines {
		for _, e := range x.Examples {
			_, _ = fmt.Fprintf(w, "%s: %s\n", x.Text, e)
		}
	}
	_, _ = fmt.Fprintln(w, "\nwarnings and errors of the nodes:")
	for _, text := range slices.SortedFunc(maps.Keys(r.Logs), func(a, b string) int { return cmp.Or(r.Logs[b]-r.Logs[a], strings.Compare(a, b)) }) {
		_, _ = fmt.Fprintf(w, "%6d  %s\n", r.Logs[text], text)
	}
}

// report compares the accounts.
func (f *facts) report(o options) *report {
	r := &report{At: time.Now().UTC().Format(time.RFC3339), Seed: o.Seed, Rate: o.Rate, Minutes: o.Duration.Minutes(), Senders: f.sums, Faults: f.faults, Logs: f.logs}
	f.traffic(r, o)
	f.takeovers(r)
	f.compare(r)
	return r
}

// compare holds the accounts against one another: none of its lines depends on how fast the machine is.
func (f *facts) compare(r *report) {
	owed := f.events(r)
	f.deliveries(r, owed)
	f.repeats(r)
	f.rewards(r)
}

func (f *facts) traffic(r *report, o options) {
	rate := float64(len(f.entries)) / f.flowed.Seconds()
	r.say("faults", "%d", len(f.faults))
	r.must("different events per second", fmt.Sprintf("%.0f", rate), fmt.Sprintf("at least %.0f", o.Rate), rate >= o.Rate)
	r.say("postbacks", "%d", f.sums.Sent)
	r.say("  acknowledged", "%d", f.sums.Acked)
	r.say("  repeated by their senders", "%d", f.sums.Repeated)
	r.say("  tried at another node by the balancer", "%d", f.sums.Moved)
	for _, status := range slices.Sorted(maps.Keys(f.sums.Statuses)) {
		r.say(fmt.Sprintf("tries answered %d", status), "%d", f.sums.Statuses[status])
	}
	r.say("tries without an answer", "%d", f.sums.Broken)
	r.say("seconds until the last delivery", "%.0f", f.drained.Seconds())
	for _, x := range f.faults {
		if x.Name == "replica away" {
			r.must("acknowledged while the replica was away", fmt.Sprint(x.Acked), "0", x.Acked == 0)
		}
	}
}

// takeovers says how long it took until what killed nodes had in their hands was sent.
func (f *facts) takeovers(r *report) {
	const limit = 15 // seconds, where no other fault got in the way
	var took, late []float64
	for _, x := range f.faults {
		if x.TakenOver == 0 {
			continue // no kill, or it held nothing
		}
		took = append(took, x.TakenOver)
		sent := x.killed.Add(time.Duration(x.TakenOver * float64(time.Second)))
		alone := !slices.ContainsFunc(f.faults, func(o *occurrence) bool { return o != x && o.from.Before(sent) && o.to.After(x.killed) })
		if alone && x.TakenOver > limit {
			late = append(late, x.TakenOver)
		}
	}
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	r.say("kills of nodes with deliveries in their hands", "%d", len(took))
	r.say("  seconds until the last of these was sent, p50 and longest", "%.1f, %.1f", took[len(took)/2], took[len(took)-1])
	r.must(fmt.Sprintf("  of them longer than %d s without another fault", limit), fmt.Sprint(len(late)), "0", len(late) == 0)
}

// stored is an event with what the books say of it.
type stored struct {
	*pgbooks.Event
	entry *entry
}

// events compares what was sent with what was stored, and returns what was stored by key.
func (f *facts) events(r *report) map[string]stored {
	known := make(map[string]*entry, len(f.entries))
	acked := 0
	for i := range f.entries {
		e := &f.entries[i]
		known[e.key()] = e
		if e.acked {
			acked++
		}
	}
	have := make(map[string]stored, len(f.books.Events))
	var twice, strange, missing []string
	for i := range f.books.Events {
		e := &f.books.Events[i]
		k := keyOf(e.YMID, e.Type, e.Value)
		if e.YMID == "" {
			continue // what carom itself notes, such as a view that expired
		}
		if first, is := have[k]; is {
			twice = append(twice, fmt.Sprintf("%s at %v and %v", k, first.Place, e.Place))
			continue
		}
		if known[k] == nil {
			strange = append(strange, k)
			continue
		}
		have[k] = stored{e, known[k]}
	}
	for k, e := range known {
		if _, is := have[k]; e.acked && !is {
			missing = append(missing, k)
		}
	}
	r.say("different events sent", "%d", len(known))
	r.say("  acknowledged", "%d", acked)
	r.say("events stored", "%d", len(have))
	r.none("acknowledged events missing", missing)
	r.none("events stored twice", twice)
	r.none("stored events that nobody sent", strange)
	r.must("postbacks refused", fmt.Sprint(f.books.Refused), "0", f.books.Refused == 0)
	r.must("nodes that nobody took over", fmt.Sprint(f.books.Late), "0", f.books.Late == 0)
	return have
}

// interrupted is how a delivery that must not be repeated ends when its node dies in the middle.
const interrupted = "interrupted after sending"

// deliveries compares what the books say of each delivery with what the endpoints saw.
func (f *facts) deliveries(r *report, events map[string]stored) {
	states := map[carom.DeliveryState]int{}
	var unowed, unexplained, waiting, dead, phantom, two []string
	cut := 0
	for k, e := range events {
		owed := 0
		for _, d := range e.Deliveries {
			name := fmt.Sprintf("%s to endpoint %d: %s %s", k, d.Endpoint, d.State, d.Reason)
			a := f.arrivals[delivery{pgbooks.PlaceOf(e.Place), d.Ordinal}]
			if !d.Reward {
				owed++
			}
			states[d.State]++
			switch d.State {
			case carom.Delivered:
				if a == nil || len(a.accepted) == 0 {
					phantom = append(phantom, name)
				}
			case carom.Pending:
				if !f.open[d.Endpoint] {
					waiting = append(waiting, name)
				}
			case carom.Dead:
				if zones[e.entry.zone].path != once || d.Reward || !strings.HasPrefix(d.Reason, interrupted) {
					dead = append(dead, name)
				} else {
					cut++
				}
			default:
				unexplained = append(unexplained, name)
			}
		}
		if owed != 1 {
			unowed = append(unowed, fmt.Sprintf("%s is owed to %d", k, owed))
		}
	}
	seen := map[string]delivery{}
	var stray, again []string
	for d, a := range f.arrivals {
		if first, is := seen[a.path+a.key]; is {
			two = append(two, fmt.Sprintf("%s%s came as %v and %v", a.path, a.key, first, d))
		}
		seen[a.path+a.key] = d
		if _, is := events[a.key]; a.path != bank && !is {
			stray = append(stray, a.path+a.key)
		}
		if a.path == once && len(a.requests) > 1 {
			again = append(again, fmt.Sprintf("%s at %v", a.key, a.requests))
		}
	}
	for _, s := range []carom.DeliveryState{carom.Delivered, carom.Pending, carom.Dead, carom.Expired} {
		r.say("deliveries "+string(s), "%d", states[s])
	}
	r.say("  of a once endpoint, interrupted by a fault", "%d", cut)
	r.none("deliveries that have not ended, without an open breaker", waiting)
	r.none("deliveries that died of anything else", dead)
	r.none("deliveries neither ended nor waiting, or both", unexplained)
	r.none("deliveries called delivered that no endpoint accepted", phantom)
	r.none("events not owed to exactly one endpoint", unowed)
	r.none("events or rewards that came with two delivery ids", two)
	r.none("postbacks about events that are not stored", stray)
	r.none("postbacks sent twice to the endpoint that forbids it", again)
	r.must("postbacks without a delivery id", fmt.Sprint(f.strange), "0", f.strange == 0)
}

// repeats counts what was accepted more than once. That is allowed where a fault explains it: it was in flight then.
func (f *facts) repeats(r *report) {
	const slack = time.Second // a request may be read some time after its sender was killed
	total, limit := 0, 0
	var unprovoked []string
	for d, a := range f.arrivals {
		slices.SortFunc(a.accepted, time.Time.Compare) // a slow answer may be noted after a later one
		for i := 1; i < len(a.accepted); i++ {
			total++
			from, to := a.accepted[i-1].Add(-slack), a.accepted[i]
			if !slices.ContainsFunc(f.faults, func(o *occurrence) bool { return o.from.Before(to) && o.to.Add(slack).After(from) }) {
				unprovoked = append(unprovoked, fmt.Sprintf("%s%s (%v) at %v and %v", a.path, a.key, d, a.accepted[i-1], a.accepted[i]))
			}
		}
	}
	for _, o := range f.faults {
		limit += o.InFlight
	}
	r.say("in flight at the faults", "%d", limit)
	r.must("postbacks accepted twice", fmt.Sprint(total), fmt.Sprintf("at most %d", limit), total <= limit)
	r.none("  of them without a fault between", unprovoked)
	most := 0
	slices.SortFunc(f.pacedAt, time.Time.Compare)
	for i, j := 0, 0; j < len(f.pacedAt); j++ {
		for f.pacedAt[j].Sub(f.pacedAt[i]) >= time.Second {
			i++
		}
		most = max(most, j-i+1)
	}
	r.say("most attempts in a second at the endpoint with a rate", "%d", most)
}

// rewards compares what the stored events earn with the rewards, the ledger and what the bank was told.
func (f *facts) rewards(r *report) {
	want := map[string]*entry{} // by ymid
	for i := range f.books.Events {
		b := &f.books.Events[i]
		if b.Value == carom.Valued {
			want[b.YMID] = nil
		}
	}
	ackedPaid := 0
	for i := range f.entries {
		e := &f.entries[i]
		if _, is := want[e.ymid]; !is || !zones[e.zone].earns {
			delete(want, e.ymid)
			continue
		}
		want[e.ymid] = e
	}
	for i := range f.entries {
		if e := &f.entries[i]; e.acked && e.value == carom.Valued && zones[e.zone].earns {
			ackedPaid++
		}
	}
	told := map[string]int{}
	for _, a := range f.arrivals {
		if a.path == bank && len(a.accepted) > 0 {
			told[a.key]++
		}
	}
	var lost, unearned, twice, wrong, untold, toldTwice, unconfirmed []string
	have := map[string]bool{}
	for _, x := range f.books.Rewards {
		e := want[x.YMID]
		switch {
		case have[x.YMID]:
			twice = append(twice, x.YMID)
		case e == nil:
			unearned = append(unearned, x.YMID)
		case x.Amount != price*1_000_000_000 || x.State != carom.RewardGranted || x.User != e.user():
			wrong = append(wrong, fmt.Sprintf("%s of %s: %s to %s, %s", x.ID, x.YMID, x.Amount, x.User, x.State))
		}
		have[x.YMID] = true
		switch n := told[string(x.ID)+"."+string(x.State)]; {
		case n == 0:
			untold = append(untold, string(x.ID))
		case n > 1:
			toldTwice = append(toldTwice, string(x.ID))
		}
	}
	for ymid, e := range want {
		if e != nil && !have[ymid] {
			lost = append(lost, ymid)
		}
	}
	for id, state := range f.views {
		if state != "confirmed" {
			unconfirmed = append(unconfirmed, fmt.Sprintf("%s is %s", id, state))
		}
	}
	r.say("events acknowledged as valued that earn", "%d", ackedPaid)
	r.say("rewards", "%d", len(f.books.Rewards))
	r.say("ledger lines", "%d", f.ledger.Lines)
	r.none("rewards lost: a paid view without one", lost)
	r.none("views rewarded twice", twice)
	r.none("rewards that nothing earned", unearned)
	r.none("rewards of a wrong amount, user or state", wrong)
	r.none("rewards that the endpoint was never told of", untold)
	r.none("rewards that the endpoint was told of in two deliveries", toldTwice)
	r.none("faults in the ledger", f.ledger.Faults)
	r.say("views opened beforehand and asked for", "%d", len(f.views))
	r.none("of them not confirmed, although paid", unconfirmed)
}

// readLogs counts the lines of the nodes' logs by level and message: values differ.
func readLogs(dir string) (map[string]int, error) {
	files, err := filepath.Glob(filepath.Join(dir, "node*", "carom.log"))
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			out[message(lines.Text())]++
		}
		_ = f.Close() // only read
	}
	return out, nil
}

// message is the level and the text of a line of a log: `time=… level=WARN msg="…" key=…`.
func message(line string) string {
	_, rest, found := strings.Cut(line, "level=")
	if !found {
		return line
	}
	level, rest, _ := strings.Cut(rest, " ")
	_, rest, _ = strings.Cut(rest, "msg=")
	if text, is := strings.CutPrefix(rest, `"`); is {
		rest, _, _ = strings.Cut(text, `"`)
	} else {
		rest, _, _ = strings.Cut(rest, " ")
	}
	return level + " " + rest
}
