package ingest

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"carom"
)

// answerClass is what an answer says to whoever sees nothing but it. Whether money moved cannot be seen from outside.
type answerClass string

const (
	answerNone     answerClass = "none"     // there was none
	answerFault    answerClass = "fault"    // neither 2xx nor 4xx: the network repeats
	answerRefusal  answerClass = "refusal"  // 4xx
	answerError    answerClass = "error"    // 2xx, and the body speaks of an error
	answerDeclined answerClass = "declined" // 2xx, and the body says that nothing was done
	answerSuccess  answerClass = "success"
)

// shownAnswerBytes is how much of an answer's body is looked at and shown.
const shownAnswerBytes = 200

// classify says what an answer of the given status says with the beginning of its body.
func classify(status int, body string) answerClass {
	switch {
	case status == 0:
		return answerNone
	case status/100 == 4:
		return answerRefusal
	case status/100 != 2:
		return answerFault
	}
	text := strings.ToLower(strings.Join(strings.Fields(body), ""))
	for _, harmless := range []string{`"error":null`, `"error":false`, `"error":""`, `"error":0`, `"errors":[]`, `"errors":null`, `"errors":0`, "noerror"} {
		text = strings.ReplaceAll(text, harmless, "")
	}
	for _, word := range []string{"duplicate", "already", "ignored", "ignoring", "skipped", "refused", "rejected", "notvalued", "not_valued", "unpaid", "noreward"} {
		if strings.Contains(text, word) {
			return answerDeclined
		}
	}
	for _, word := range []string{
		"error", "fail", "exception", "traceback", "invalid", "denied", "forbidden", "unauthorized", "notfound", "missing", "unknown", "unsupported",
		`"ok":false`, `"success":false`, `"status":false`,
	} {
		if strings.Contains(text, word) {
			return answerError
		}
	}
	return answerSuccess
}

// shape is an answer without what changes from one answer to the next: what the request said itself, numbers, ids and times.
// Numbers of one or two digits stay: they may be the difference between paid and not.
func shape(status int, body string, sent url.Values) string {
	var said []string
	for _, values := range sent {
		said = append(said, values...)
	}
	slices.SortFunc(said, func(x, y string) int { return cmp.Or(cmp.Compare(len(y), len(x)), cmp.Compare(x, y)) }) // one may hold another
	text := body
	for _, v := range said {
		if len(v) >= 3 {
			text = strings.ReplaceAll(text, v, "*")
		}
	}
	h := fnv.New64a()
	word := func(w string) {
		if len(w) >= 3 && strings.ContainsAny(w, "0123456789") {
			w = "#"
		}
		_, _ = h.Write([]byte(w)) // cannot fail
	}
	from := 0
	for i := 0; i < len(text); i++ {
		if c := text[i]; c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-' {
			continue
		}
		word(text[from:i])
		_, _ = h.Write([]byte{text[i]})
		from = i + 1
	}
	word(text[from:])
	return fmt.Sprintf("%d:%x", status, h.Sum64())
}

// shownAnswer is how an example shows an answer.
func shownAnswer(status int, body string) string {
	if status == 0 {
		return "nothing"
	}
	text := fmt.Sprintf("%d %s", status, http.StatusText(status))
	if body != "" {
		text += ": " + body
	}
	return text
}

// beginning is the beginning of a body as text.
func beginning(body []byte) string {
	text := strings.ToValidUTF8(string(body[:min(len(body), shownAnswerBytes+utf8.UTFMax)]), "\uFFFD")
	for len(text) > shownAnswerBytes {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

// sentValues are the parameters of a request, as far as they can be read.
func sentValues(rawQuery, contentType string, body []byte) url.Values {
	values, _ := url.ParseQuery(rawQuery) // what cannot be read is left out
	if strings.HasPrefix(contentType, "application/x-www-form-urlencoded") {
		form, _ := url.ParseQuery(string(body)) // likewise
		for name, list := range form {
			values[name] = append(values[name], list...)
		}
	}
	return values
}

// unusual says that the event came in other words than those that the network's documentation uses in its list of macros: a
// further name of a parameter, or another word for valued or not_valued. They are genuine all the same.
func unusual(src *source, ev *carom.Event) bool {
	sent := sentValues(ev.Received.RawQuery, ev.Received.ContentType, ev.Received.Body)
	if src.Template == "" {
		for _, field := range []string{"event_type", "reward_event_type"} {
			for i, name := range src.binding.Profile.Names(field) {
				if i > 0 && sent.Has(name) {
					return true
				}
			}
		}
	}
	odd := false
	for _, values := range sent {
		for _, v := range values {
			switch strings.ToLower(v) {
			case string(carom.Valued), string(carom.NotValued):
				return false
			case "yes", "no", "true", "false", "1", "0", "non_valued", "unvalued":
				odd = true
			}
		}
	}
	return odd && (ev.Value == carom.Valued || ev.Value == carom.NotValued) && len(src.binding.Profile.Names("reward_event_type")) > 0
}

// excessive says that the event carries an amount beyond all reason, or beyond the most that a rule which counts it pays.
func excessive(c *Catalog, ev *carom.Event, candidates []carom.Candidate) bool {
	if ev.Type == carom.Reversal {
		return false // its amount may well be negative
	}
	if ev.Flags&carom.FlagPriceInvalid != 0 {
		return true
	}
	said := map[string]carom.Price{carom.PriceEstimate: ev.Price}
	for _, f := range ev.Fields {
		if f.Name != carom.PriceReward {
			continue
		}
		n, _, err := carom.ParseNanos(f.Value)
		if err != nil || n < 0 || n > 1000*carom.MaxPrice { // coins, not dollars
			return true
		}
		said[f.Name] = carom.Price{Nanos: n, Set: true}
	}
	for i := range candidates {
		p := c.prices[candidates[i].Rule]
		amount := said[p.From]
		if p.From == "" || !amount.Set || !p.Max.Set {
			continue
		}
		product := new(big.Int).Mul(big.NewInt(int64(amount.Nanos)), new(big.Int).Mul(big.NewInt(int64(p.Rate)), big.NewInt(int64(p.Share))))
		if product.Cmp(new(big.Int).Mul(big.NewInt(int64(p.Max.Nanos)), big.NewInt(1_000_000_000_000_000_000))) > 0 {
			return true
		}
	}
	return false
}
