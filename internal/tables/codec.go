package tables

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"carom"
)

// FieldsJSON is how fields are stored: [["name","value"], …]. Without any, some is false: then the column is NULL.
func FieldsJSON(fields []carom.Field) (text string, some bool) {
	if len(fields) == 0 {
		return "", false
	}
	pairs := make([][2]string, len(fields))
	for i, f := range fields {
		pairs[i] = [2]string{f.Name, f.Value}
	}
	b, err := json.Marshal(pairs)
	if err != nil {
		return "", false // strings always marshal
	}
	return string(b), true
}

// ParseFields reads what [FieldsJSON] wrote; nil for NULL.
func ParseFields(text sql.NullString) ([]carom.Field, error) {
	if !text.Valid {
		return nil, nil
	}
	var pairs [][2]string
	if err := json.Unmarshal([]byte(text.String), &pairs); err != nil {
		return nil, fmt.Errorf("stored fields: %w", err)
	}
	fields := make([]carom.Field, len(pairs))
	for i, p := range pairs {
		fields[i] = carom.Field{Name: p[0], Value: p[1]}
	}
	return fields, nil
}

// Target is one endpoint in an event's list, see [JoinTargets].
type Target struct {
	Endpoint int   // its number; below 0: nothing is owed
	Reward   int64 // the number of the reward that is owed; 0: the event is
}

// JoinTargets is how the endpoints of an event are stored: "3 7:12 -", by their numbers; behind a colon the number of the reward that
// is owed in place of the event; a dash holds the place of one to which nothing is. The submission is decided: its receipt holds the
// rewards.
func JoinTargets(sub *carom.Submission) string {
	targets := sub.Targets
	if len(targets) == 1 && targets[0].Endpoint < 10 && targets[0].Candidate == 0 {
		return "0123456789"[targets[0].Endpoint : targets[0].Endpoint+1] // by far the commonest: no allocation
	}
	var b []byte
	for i, t := range targets {
		if i > 0 {
			b = append(b, ' ')
		}
		if t.Unowed {
			b = append(b, '-')
			continue
		}
		b = strconv.AppendInt(b, int64(t.Endpoint), 10)
		if t.Candidate > 0 {
			_, no, _ := sub.Receipt.Decided[t.Candidate-1].Reward.ID.Number() // made in this commit
			b = strconv.AppendInt(append(b, ':'), no, 10)
		}
	}
	return string(b)
}

// ParseTargets reads what [JoinTargets] wrote.
func ParseTargets(text string) ([]Target, error) {
	words := strings.Fields(text)
	list := make([]Target, len(words))
	for i, word := range words {
		if word == "-" {
			list[i].Endpoint = -1
			continue
		}
		endpoint, reward, owes := strings.Cut(word, ":")
		var err error
		if list[i].Endpoint, err = strconv.Atoi(endpoint); err == nil && owes {
			list[i].Reward, err = strconv.ParseInt(reward, 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("stored endpoints %q: %w", text, err)
		}
	}
	return list, nil
}

// storedDecision is a decision as it is kept with its event.
type storedDecision struct {
	Rule   string              `json:"rule"`
	State  carom.RewardState   `json:"state"`
	Reason carom.DeclineReason `json:"reason,omitempty"`
	Cap    string              `json:"cap,omitempty"`
	Reward carom.RewardID      `json:"reward,omitempty"`
}

// DecidedJSON is how decisions are stored with their event: JSON, of a reward its id alone. Empty when there are none.
func DecidedJSON(list []carom.Decided) string {
	if len(list) == 0 {
		return ""
	}
	stored := make([]storedDecision, len(list))
	for i, d := range list {
		stored[i] = storedDecision{Rule: d.Rule, State: d.State, Reason: d.Reason, Cap: d.Cap}
		if d.Reward != nil {
			stored[i].Reward = d.Reward.ID
		}
	}
	text, err := json.Marshal(stored)
	if err != nil {
		return "" // strings always marshal
	}
	return string(text)
}

// ParseDecided reads what [DecidedJSON] wrote. The rewards have no more than their ids.
func ParseDecided(text string) ([]carom.Decided, error) {
	if text == "" {
		return nil, nil
	}
	var stored []storedDecision
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return nil, fmt.Errorf("stored decisions: %w", err)
	}
	list := make([]carom.Decided, len(stored))
	for i, d := range stored {
		list[i] = carom.Decided{Rule: d.Rule, State: d.State, Reason: d.Reason, Cap: d.Cap}
		if d.Reward != "" {
			list[i].Reward = &carom.Reward{ID: d.Reward}
		}
	}
	return list, nil
}

// ClientText is how the address of a request's client is stored; empty when none was known.
func ClientText(r *carom.Received) string {
	if !r.Client.IsValid() {
		return ""
	}
	return r.Client.String()
}

// ParseClient reads what [ClientText] wrote.
func ParseClient(text string) netip.Addr {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{} // none was known
	}
	return addr
}

// Truth is how a bool is stored.
func Truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Millis is how a moment that may be absent is stored: milliseconds since 1970, 0 for the zero time.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Instant reads what [Millis] wrote, in UTC.
func Instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Blob is how bytes that may be absent are stored: NULL when there are none at all.
func Blob(b []byte) driver.Value {
	if b == nil {
		return nil
	}
	return b
}

// SumBlob is how a sum of 128 bits is stored: its bytes, NULL for the zero one.
func SumBlob(sum [16]byte) driver.Value {
	if sum == ([16]byte{}) {
		return nil
	}
	return sum[:]
}

// SumOf reads what [SumBlob] wrote.
func SumOf(v driver.Value) (sum [16]byte) {
	if b, _ := v.([]byte); len(b) == 16 {
		sum = [16]byte(b)
	}
	return sum
}

// unit is how many billionths one has.
const unit = 1_000_000_000

// AmountText writes units + nanos/10^9 exactly. Credits and debits carry differently, so that the parts may have unlike signs.
func AmountText(units, nanos int64) string {
	units, nanos = units+nanos/unit, nanos%unit
	switch {
	case units > 0 && nanos < 0:
		units, nanos = units-1, nanos+unit
	case units < 0 && nanos > 0:
		units, nanos = units+1, nanos-unit
	}
	if units == 0 {
		return carom.Nanos(nanos).String()
	}
	frac := carom.Nanos(max(nanos, -nanos)).String()
	return strconv.FormatInt(units, 10) + frac[1:] // behind its zero
}

// SumText writes units + nanos/10^9 exactly; nothing when it is zero. It is for prices, which are never negative.
func SumText(units, nanos int64) string {
	units, nanos = units+nanos/unit, nanos%unit
	if units == 0 && nanos == 0 {
		return ""
	}
	frac := carom.Nanos(nanos).String()
	return strconv.FormatInt(units, 10) + strings.TrimPrefix(frac, "0")
}
