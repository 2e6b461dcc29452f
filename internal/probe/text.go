package probe

import (
	"fmt"
	"io"
	"strings"
)

// marks are how a verdict stands in front of a line.
func marks(v Verdict) string {
	return map[Verdict]string{Pass: "ok     ", Fail: "FAIL   ", Warn: "warn   ", Unknown: "unknown", Skip: "skip   "}[v]
}

// WriteText writes the report as a test runner does: every check on a line, and what a person should read about those that
// are not well. full adds the rest, too.
func (r *Report) WriteText(w io.Writer, full bool) error {
	var b strings.Builder
	books := "not read: double payment can only be suspected (--balance)"
	if r.Books {
		books = "read"
	}
	_, _ = fmt.Fprintf(&b, "receiver  %s\nnetwork   %s, ymid is a %s\nsecret    %s\nbooks     %s\nusers     %s…\n", r.Target, r.Network, r.YMID, r.Secret, books, r.Users)
	group := ""
	for i := range r.Checks {
		c := &r.Checks[i]
		if c.Group != group {
			group = c.Group
			_, _ = fmt.Fprintf(&b, "\n%s\n", group)
		}
		_, _ = fmt.Fprintf(&b, "  %s %-21s %s\n", marks(c.Verdict), c.ID, c.Title)
		if !full && (c.Verdict == Pass || c.Verdict == Skip) {
			continue
		}
		for _, e := range shorten(c.Sent, full) {
			_, _ = fmt.Fprintf(&b, "          sent   %s%s\n          got    %s\n", e.Sent, times(e.Times), got(&e))
		}
		for _, line := range []struct{ label, text string }{{"means", c.Meaning}, {"fix", c.Fix}} {
			if line.text != "" {
				_, _ = fmt.Fprintf(&b, "          %-6s %s\n", line.label, line.text)
			}
		}
	}
	_, _ = fmt.Fprintf(&b, "\n%s\n%d requests were sent.\n", r.Summary(), r.Requests)
	_, err := io.WriteString(w, b.String())
	return err
}

// shorten keeps the last few exchanges of a check: those that decided it.
func shorten(sent []Exchange, full bool) []Exchange {
	const most = 3
	if full || len(sent) <= most {
		return sent
	}
	return sent[len(sent)-most:]
}

func times(n int) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(" (%d at once)", n)
}

// got is what came back, on one line.
func got(e *Exchange) string {
	var parts []string
	if e.Status > 0 {
		parts = append(parts, fmt.Sprint(e.Status))
	}
	if e.Answer != "" {
		parts = append(parts, e.Answer)
	}
	if e.Error != "" {
		parts = append(parts, e.Error)
	}
	if len(parts) == 0 {
		return "nothing was waited for"
	}
	return fmt.Sprintf("%s, in %d ms", strings.Join(parts, " "), e.TookMS)
}
