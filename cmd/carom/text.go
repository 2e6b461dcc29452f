package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"carom/internal/api"
)

// The functions in this file turn answers of /v1 into text for a person. They are pure: the same answer gives the same text.

// print writes v as JSON when that was asked for, else as text.
func (c *cli) print(v any, text func(w io.Writer)) error {
	if c.output == "json" {
		enc := json.NewEncoder(c.out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	text(c.out)
	return nil
}

// table writes rows in aligned columns.
func table(w io.Writer, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = plain(cell)
		}
		_, _ = fmt.Fprintln(tw, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	_ = tw.Flush() // the standard output is gone: there is nobody to tell
}

// plain makes text from outside safe for a terminal: control characters, which could move the cursor or recolour the
// screen, are shown as a dot.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) {
			return '·'
		}
		return r
	}, s)
}

// clip shortens text to n characters.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// clock writes a moment in UTC to the millisecond.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// orEmpty puts before in front of a text, if there is one.
func orEmpty(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// value writes a reward_event_type so that an absent one can be told from a missing column.
func value(s string) string {
	if s == "" {
		return "not said"
	}
	return s
}

func writeEvents(w io.Writer, list api.EventList) {
	if len(list.Events) == 0 {
		_, _ = fmt.Fprintln(w, "No events match. Refused ones: carom show --refused; unverified ones: carom show --unverified")
		return
	}
	rows := [][]string{{"TIME (UTC)", "SOURCE", "TYPE", "VALUE", "YMID", "ZONE", "PRICE", "EVENT"}}
	for i := range list.Events {
		rows = append(rows, eventRow(&list.Events[i]))
	}
	table(w, rows)
}

func eventRow(e *api.Event) []string {
	return []string{
		clock(e.At), e.App + "/" + e.Source, e.EventType, value(e.RewardEventType), orDash(clip(e.YMID, 40)), orDash(e.ZoneID),
		orDash(e.EstimatedPrice), string(e.ID),
	}
}

// verified says in words how an event was verified.
func verified(strength string) string {
	switch strength {
	case "signed":
		return "signed: the network's signature over its fields was checked"
	case "secret":
		return "secret: the request had the right secret"
	case "address":
		return "address: only the sender's address was checked"
	}
	return orDash(strength)
}

func writeStory(w io.Writer, st *api.Story) {
	e := &st.Event
	rows := [][]string{
		{"Event", string(e.ID)},
		{"Outcome", st.Outcome},
		{"Source", e.App + "/" + e.Source + " (" + orDash(e.Network) + ")"},
		{"Verified", verified(e.Strength)},
	}
	if p := st.Proof; p != nil {
		rows = append(rows, []string{"Not covered", orNone(strings.Join(p.NotCovered, ", "))})
	}
	for _, d := range st.Decided {
		rows = append(rows, []string{"Reward", d.Words + orEmpty("  ", string(d.Reward))})
	}
	if st.ReprocessedAs != "" {
		rows = append(rows, []string{"Reprocessed as", string(st.ReprocessedAs)})
	}
	table(w, append(rows, eventRows(e)...))
	_, _ = fmt.Fprintln(w)
	writeReceived(w, &st.Received)
	for i := range st.Deliveries {
		_, _ = fmt.Fprintln(w)
		writeDelivery(w, &st.Deliveries[i])
	}
}

// eventRows is what an event says.
func eventRows(e *api.Event) [][]string {
	rows := [][]string{{"Type", e.EventType}, {"Value", value(e.RewardEventType)}}
	for _, f := range []struct{ name, value string }{
		{"ymid", e.YMID}, {"zone_id", e.ZoneID}, {"sub_zone_id", e.SubZoneID}, {"request_var", e.RequestVar},
		{"telegram_id", e.TelegramID}, {"user_id", e.UserID}, {"Estimated price", e.EstimatedPrice}, {"Network's id", e.ExternalID},
		{"View", string(e.View)}, {"Flags", strings.Join(e.Flags, ", ")}, {"Held", e.Held}, {"Made of", e.Origin},
	} {
		if f.value != "" {
			rows = append(rows, []string{f.name, f.value})
		}
	}
	for _, name := range sorted(e.Fields) {
		rows = append(rows, []string{name, e.Fields[name]})
	}
	return rows
}

func writeReceived(w io.Writer, r *api.Received) {
	_, _ = fmt.Fprintf(w, "Received %s UTC from %s\n", clock(r.At), plain(orDash(r.Client)))
	target := r.Path
	if r.Query != "" {
		target += "?" + r.Query
	}
	_, _ = fmt.Fprintf(w, "  %s %s\n", plain(r.Method), plain(target))
	for _, h := range r.Headers {
		_, _ = fmt.Fprintf(w, "  %s: %s\n", plain(h.Name), plain(h.Value))
	}
	if r.ContentType != "" {
		_, _ = fmt.Fprintf(w, "  Content-Type: %s\n", plain(r.ContentType))
	}
	switch {
	case r.Body != "":
		_, _ = fmt.Fprintf(w, "  %s\n", plain(clip(r.Body, 2000)))
	case len(r.BodyBytes) > 0:
		_, _ = fmt.Fprintf(w, "  (%d bytes that are not text)\n", len(r.BodyBytes))
	}
}

func writeDelivery(w io.Writer, d *api.Delivery) {
	_, _ = fmt.Fprintf(w, "Delivery to %s: %s (%s%s)\n", plain(d.Endpoint), d.State, d.ID, orEmpty(", of ", string(d.Reward)))
	if len(d.Attempts) == 0 && d.State == "pending" {
		_, _ = fmt.Fprintln(w, "  no attempt yet")
	}
	for _, a := range d.Attempts {
		result := a.Reason
		if a.Status != 0 {
			result = fmt.Sprintf("status %d", a.Status)
			if a.Reason != "" && a.Reason != result {
				result += ", " + a.Reason
			}
		}
		_, _ = fmt.Fprintf(w, "  %d. %s  %s in %s", a.Number, clock(a.At), plain(orDash(result)), took(a.TookMS))
		if len(a.Flags) > 0 {
			_, _ = fmt.Fprintf(w, "  [%s]", strings.Join(a.Flags, ", "))
		}
		_, _ = fmt.Fprintln(w)
		if a.URL != "" {
			_, _ = fmt.Fprintf(w, "     %s %s\n", plain(a.Method), plain(a.URL))
		}
		if a.Sent != "" {
			_, _ = fmt.Fprintf(w, "     sent: %s\n", plain(clip(a.Sent, 500)))
		}
		if a.Answer != "" {
			_, _ = fmt.Fprintf(w, "     answer: %s\n", plain(clip(strings.TrimSpace(a.Answer), 200)))
		}
	}
	if !d.Due.IsZero() {
		_, _ = fmt.Fprintf(w, "  next attempt due %s UTC\n", clock(d.Due))
	}
}

func took(ms float64) string {
	return time.Duration(ms * float64(time.Millisecond)).Round(100 * time.Microsecond).String()
}

func writeRefusals(w io.Writer, list api.RefusalList, kind string) {
	if len(list.Received) == 0 {
		_, _ = fmt.Fprintf(w, "No %s postbacks.\n", kind)
		return
	}
	for i := range list.Received {
		r := &list.Received[i]
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		rows := [][]string{}
		if r.ID != "" {
			rows = append(rows, []string{"Refused", string(r.ID)})
		} else {
			rows = append(rows, []string{"Unverified", "it proved nothing, so it is only sampled"})
		}
		rows = append(rows, []string{"Source", orDash(strings.Trim(r.App+"/"+r.Source, "/"))}, []string{"Reason", string(r.Reason)})
		if r.Detail != "" {
			rows = append(rows, []string{"Detail", r.Detail})
		}
		if r.ReprocessedAs != "" {
			rows = append(rows, []string{"Reprocessed as", string(r.ReprocessedAs)})
		}
		table(w, rows)
		writeReceived(w, &r.Received)
	}
}

func writeStatus(w io.Writer, st *api.Status) {
	_, _ = fmt.Fprintln(w, plain(st.Sentence))
	for _, it := range st.Items {
		_, _ = fmt.Fprintf(w, "\n%s: %s\n", severity(it.Severity), plain(it.Subject))
		rows := [][]string{{"  what", it.What}}
		if it.HowMuch != "" {
			rows = append(rows, []string{"  how much", it.HowMuch})
		}
		if !it.Since.IsZero() {
			rows = append(rows, []string{"  since", it.Since.UTC().Format("2006-01-02 15:04 UTC")})
		}
		rows = append(rows, []string{"  fault", fault(it.Fault)}, []string{"  next", it.Next})
		if it.Runbook != "" {
			rows = append(rows, []string{"  more", it.Runbook})
		}
		table(w, rows)
	}
}

func severity(s api.Severity) string {
	switch s {
	case api.LosingMoney:
		return "LOSING MONEY"
	case api.Attention:
		return "ATTENTION"
	}
	return "note"
}

func fault(f api.Fault) string {
	switch f {
	case api.Ours:
		return "ours: this server or its machine"
	case api.Network:
		return "the ad network"
	case api.Receiver:
		return "the receiver: the server behind the endpoint"
	}
	return "configuration: what was entered here or at the network"
}

func writeChanges(w io.Writer, changes []api.Change) {
	signs := map[string]string{"added": "+", "changed": "~", "removed": "-"}
	for _, ch := range changes {
		sign := signs[ch.Action]
		if sign == "" {
			_, _ = fmt.Fprintf(w, "= %s %s is not in the file and stays; --prune removes it\n", ch.Kind, plain(ch.ID))
			continue
		}
		_, _ = fmt.Fprintf(w, "%s %s %s\n", sign, ch.Kind, plain(ch.ID))
		for _, f := range ch.Fields {
			if ch.Action == "added" {
				_, _ = fmt.Fprintf(w, "    %s: %s\n", plain(f.Field), plain(f.After))
			} else {
				_, _ = fmt.Fprintf(w, "    %s: %s -> %s\n", plain(f.Field), plain(orNone(f.Before)), plain(orNone(f.After)))
			}
		}
	}
}

// differs says whether an apply would change anything: objects that are only kept are listed as well.
func differs(changes []api.Change) bool {
	return slices.ContainsFunc(changes, func(ch api.Change) bool { return ch.Action != "kept" })
}

func writeMade(w io.Writer, made []api.MadeSecret) {
	for _, m := range made {
		_, _ = fmt.Fprintf(w, "\nEnter this URL at the network for %s. It is shown only now:\n  %s\n", m.Source, m.URL)
	}
}

// sorted returns the keys of m in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
