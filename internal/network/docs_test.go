package network

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const docsFolder = "../../docs/networks/"

// commonest are the networks that have a page of their own.
func commonest() []string {
	return []string{"monetag", "admob", "unityads", "applovin", "levelplay", "adsgram", "tapjoy", "ayet", "bitlabs", "pangle"}
}

// TestPages checks that each page says what its profile says, and that its transcript is what happens.
func TestPages(t *testing.T) {
	profiles := mustProfiles(t)
	for _, name := range commonest() {
		t.Run(name, func(t *testing.T) {
			p := profiles[name]
			page := checkGenerated(t, docsFolder+name+".md", "transcript", "```text\n"+transcript(newRig(t, p))+"```\n")
			for _, must := range []string{"Profile `" + name + "`", p.Evidence, string(p.Strength), p.Template, p.Docs} {
				if !strings.Contains(page, must) {
					t.Errorf("docs/networks/%s.md does not say %q", name, must)
				}
			}
			for _, field := range p.NotCovered() {
				if !strings.Contains(page, "`"+field+"`") {
					t.Errorf("docs/networks/%s.md does not mention `%s`, which nothing covers", name, field)
				}
			}
			for _, outcome := range []Outcome{Accepted, Duplicate, RefusedOutcome, TryLater} {
				a := p.answers[outcome]
				if row := fmt.Sprintf("| %s | %d `%s` |", strings.ReplaceAll(string(outcome), "_", " "), a.Status, a.Body); !strings.Contains(page, row) {
					t.Errorf("docs/networks/%s.md has no row %q", name, row)
				}
			}
		})
	}
	files, err := filepath.Glob(docsFolder + "*.md")
	if err != nil || len(files) != len(commonest())+1 {
		t.Errorf("docs/networks holds %q (%v), want a page for each of %q and README.md", files, err, commonest())
	}
}

// TestTableOfProfiles checks the table in docs/networks/README.md against the profiles.
func TestTableOfProfiles(t *testing.T) {
	profiles := mustProfiles(t)
	var names []string
	for name := range profiles {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("| profile | network | strength | evidence | covered by the signature | not covered | set up |\n|---|---|---|---|---|---|---|\n")
	for _, name := range names {
		p := profiles[name]
		shown := "`" + name + "`"
		if slices.Contains(commonest(), name) {
			shown = "[`" + name + "`](" + name + ".md)"
		}
		list := func(fields []string) string {
			if len(fields) == 0 {
				return "-"
			}
			return strings.Join(fields, ", ")
		}
		setUp := map[string]string{"paste": "paste a URL", "manager": "by the account manager"}[p.Setup]
		fmt.Fprintf(&b, "| %s | [%s](%s) | %s | %s | %s | %s | %s |\n", shown, p.Title, p.Docs, p.Strength, p.Evidence, list(p.covers.names()), list(p.NotCovered()), setUp)
	}
	page := checkGenerated(t, docsFolder+"README.md", "profiles", b.String())
	for _, block := range strings.Split(blocks, ", ") {
		if !strings.Contains(page, "| `"+block+"` |") {
			t.Errorf("docs/networks/README.md does not explain the block %s", block)
		}
	}
}

// The profile that docs/networks/README.md shows can be loaded.
func TestExampleProfile(t *testing.T) {
	page, err := os.ReadFile(docsFolder + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	text, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("docs/networks/README.md shows no profile")
	}
	p, err := LoadProfile("example", "example.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Bind(sourceOf(p, sampleSecret), nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	query := "uid=u1&tx=t1&amount=5&status=1&sig=" + sha256hex("t1:u1:5:"+sampleSecret)
	if got := b.Verify(t.Context(), &Request{Method: "GET", RawQuery: query}, sampleTime, nil); !got.Verified {
		t.Errorf("Verify(%q) = %+v", query, got)
	}
}

// checkGenerated compares the part of a page between its marker comments with want, or writes it. It returns the page.
func checkGenerated(t *testing.T, file, part, want string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+part+": begin; go test ./internal/network -update writes it -->\n", "<!-- "+part+": end -->\n"
	before, rest, found := strings.Cut(string(data), begin)
	got, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s lacks the markers %q and %q", file, begin, end)
	}
	if *update {
		got = want
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got != want {
		t.Errorf("%s: its %s is\n%s\nwant\n%s", file, part, got, want)
	}
	return before + after
}

// transcript shows a network at work: what to paste, a genuine postback with what is made of it, a copy, and a forged one.
func transcript(g *rig) string {
	r := g.genuine()
	if g.p.Name == "admob" { // a published postback: carom has no key to sign one with
		for _, v := range readVectors(g.t).Vectors {
			if v.ID == "admob-escaped-equals" {
				r.RawQuery, g.keys = v.text("raw_query"), readVectors(g.t).list(v.text("keys"))
			}
		}
	}
	var b strings.Builder
	address := sampleURL + "/in/game/main"
	if g.p.WantsPathSecret() {
		address += "/SECRET"
	}
	if g.p.Template != "" {
		address += "?" + g.p.Template
	}
	if g.p.Setup == "paste" {
		b.WriteString("paste at the network\n  " + address + "\n")
	} else {
		b.WriteString("send to the account manager\n  " + strings.ReplaceAll(g.p.Message, "{url}", address) + "\n")
	}
	b.WriteString("\na genuine postback\n")
	genuine := g.show(&b, r)
	if again := g.judge(r); again.Key == genuine.Key {
		a := g.p.Answer(Duplicate, again)
		fmt.Fprintf(&b, "\nthe same again\n  key     equal: a copy\n  answer  %d %s\n", a.Status, a.Body)
	}
	b.WriteString("\na forged one: " + forgery(g, r) + "\n")
	g.show(&b, r)
	return b.String()
}

// forgery alters r and says how.
func forgery(g *rig, r *Request) string {
	if g.p.Strength != "signed" {
		r.Secret, r.Path = "guessed", "/in/game/main/guessed"
		return "another secret"
	}
	for _, f := range []field{fieldYMID, fieldUserID, fieldAmount, fieldTransactionID} {
		for _, name := range g.p.aliases[f] {
			if i := strings.Index("&"+r.RawQuery, "&"+name+"="); i >= 0 && g.p.covers.has(f) {
				at := i + len(name) + 1
				r.RawQuery = r.RawQuery[:at] + "9" + r.RawQuery[at:]
				return "another " + f.String()
			}
		}
	}
	g.t.Fatalf("%s: nothing to forge in %s", g.p.Name, r.RawQuery)
	return ""
}

// show writes a request, what its checks found, and what became of it.
func (g *rig) show(b *strings.Builder, r *Request) Verdict {
	path := strings.Replace(r.Path, testSecret, "SECRET", 1)
	fmt.Fprintf(b, "  %s %s?%s\n", r.Method, path, r.RawQuery)
	for _, name := range g.p.Headers() {
		fmt.Fprintf(b, "  %s: %s\n", name, r.Header.Get(name))
	}
	x := g.b.Explain(g.t.Context(), r, sampleTime, g.keys)
	for _, c := range x.Checks {
		result := "passed"
		if !c.Passed {
			result = string(c.Reason) + ": " + c.Detail
		}
		fmt.Fprintf(b, "  check   %s\n", c.Rule)
		if c.Signed != "" {
			fmt.Fprintf(b, "  signed  %s\n", c.Signed)
		}
		fmt.Fprintf(b, "  result  %s\n", result)
	}
	if !x.Proof.Verified {
		a := Forbidden()
		fmt.Fprintf(b, "  answer  %d %s\n", a.Status, a.Body)
		return Verdict{}
	}
	v := g.judge(r)
	open := "nothing that it sends"
	if len(x.NotCovered) > 0 {
		open = strings.Join(x.NotCovered, ", ")
	}
	fmt.Fprintf(b, "  event   %s\n  proof   %s; not covered: %s\n", tell(v), x.Proof.Strength, open)
	a := g.p.Answer(Accepted, v)
	fmt.Fprintf(b, "  answer  %d %s\n", a.Status, a.Body)
	return v
}
