package alert

import (
	"fmt"
	"strings"
	"time"
)

// Notification is what one channel sends at once.
type Notification struct {
	Subject string // one line
	Text    string // plain text; lines end with \n
}

// Bounds of a notification: as much as every channel takes, and as anybody reads at night.
const (
	maxTold = 10
	maxText = 3500 // Telegram takes 4,096 characters
)

// notification tells of changes, sorted, the worst first.
func notification(server string, changes []change, dropped int, open []Alert) Notification {
	var b strings.Builder
	losing := 0
	for _, a := range open {
		if a.Severity == LosingMoney {
			losing++
		}
	}
	for i, c := range changes {
		if i == maxTold {
			break
		}
		c.write(&b)
	}
	if more := max(len(changes)-maxTold, 0) + dropped; more > 0 {
		_, _ = fmt.Fprintf(&b, "and %d more.\n\n", more)
	}
	switch {
	case len(open) == 0:
		b.WriteString("Nothing is open any more.")
	case losing > 0:
		_, _ = fmt.Fprintf(&b, "Open now: %d, of which %d lose money.", len(open), losing)
	default:
		_, _ = fmt.Fprintf(&b, "Open now: %d; no money is being lost.", len(open))
	}
	b.WriteString(" All of it: carom alerts, carom status")
	return Notification{Subject: clip(oneLine("["+server+"] "+headline(changes)), 150), Text: clip(b.String(), maxText)}
}

// headline is the worst change, and how many others there are.
func headline(changes []change) string {
	c := changes[0]
	text := c.word() + ": " + c.Alert.Subject + ": " + c.Alert.Kind
	if len(changes) > 1 {
		text += fmt.Sprintf(" (and %d more)", len(changes)-1)
	}
	return text
}

// word says what happened, in capitals where money is being lost.
func (c change) word() string {
	losing := c.Alert.Severity == LosingMoney
	switch {
	case c.What == ended:
		return "Over"
	case c.What == reminded && losing:
		return "STILL LOSING MONEY"
	case c.What == reminded:
		return "Still needs a look"
	case losing:
		return "LOSING MONEY"
	}
	return "Needs a look"
}

func (c change) write(b *strings.Builder) {
	a := c.Alert
	_, _ = fmt.Fprintf(b, "%s: %s (%s)\n", c.word(), oneLine(a.Subject), a.Kind)
	if c.What == ended {
		_, _ = fmt.Fprintf(b, "was: %s\nfrom %s to %s\n\n", oneLine(a.What), stamp(a.Opened), stamp(a.Ended))
		return
	}
	_, _ = fmt.Fprintf(b, "%s\n", oneLine(a.What))
	if a.HowMuch != "" {
		_, _ = fmt.Fprintf(b, "how much: %s\n", oneLine(a.HowMuch))
	}
	if !a.Since.IsZero() {
		_, _ = fmt.Fprintf(b, "since: %s\n", stamp(a.Since))
	}
	_, _ = fmt.Fprintf(b, "fault: %s\nnext: %s\nmore: %s\n\n", oneLine(a.Fault), oneLine(a.Next), a.Runbook)
}

// testNotification is what the test button sends.
func testNotification(server string) Notification {
	return Notification{
		Subject: clip(oneLine("["+server+"] Test of carom's alerts"), 150),
		Text:    "This is a test of carom's alerts from " + oneLine(server) + ". Nothing is wrong. Somebody asked for it: carom alerts test",
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// oneLine makes text from outside safe for a line of its own: control characters become spaces.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}
