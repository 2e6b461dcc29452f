package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"carom/internal/api"
	"carom/internal/caromtest"

	"github.com/google/go-cmp/cmp"
)

// sampleObjects are the apps that the pages speak of, on one server.
const sampleObjects = `
publishers:
  acme: { title: Acme }
apps:
  game:
    currencies: { coins: 0, USD: 2 }
    sources:
      monetag: { profile: monetag, secret: ` + caromtest.Secret + ` }
      ads: { profile: monetag, secret: ` + caromtest.Secret + `, mode: shadow }
      wall: { profile: api }
    rules:
      watch: { filter: { sources: [monetag] }, price: 5 coins }
      offers: { filter: { sources: [wall] }, price: 250 coins }
    endpoints:
      backend: { url: "%[1]s/game?id={delivery_id}", allow_private: true }
      coins: { url: "%[1]s/coins?id={reward_id}&state={reward_state}", sends: rewards, allow_private: true }
  shop:
    sources:
      server: { profile: api }
      monetag: { profile: monetag, secret: ` + caromtest.Secret + ` }
    endpoints:
      backend: { url: "%[1]s/shop?id={delivery_id}", allow_private: true }
`

// sampleServer is a running server that has what the pages speak of, by names that pages and server do not share.
type sampleServer struct {
	*caromtest.Server
	objects  string // the objects file that is in force
	endpoint *caromtest.Endpoint
	names    *strings.Replacer // from the ids of the pages to those of the server
}

// anID is an id of carom's own, or a text that stands for one.
var anID = regexp.MustCompile(`\b(evt|dlv|rwd|rcv|vw|vt|key)_[0-9a-z]{6,}`)

func startSampleServer(t *testing.T) *sampleServer {
	t.Helper()
	e := caromtest.NewEndpoint(t)
	s := &sampleServer{endpoint: e, objects: fmt.Sprintf(sampleObjects, e.URL)}
	s.Server = caromtest.Start(t, caromtest.Options{Objects: s.objects})
	for _, app := range []string{"shop", "game"} {
		// The user of the pages is paid by a view, by an offer, and told of an event that is of no use.
		door := s.URL + "/in/" + app + "/monetag/" + caromtest.Secret
		for _, query := range []string{"ymid=user123&event=click&value=valued&zone_id=8790478&telegram_id=279058397", "event=click"} {
			if a := caromtest.Do(t, "GET", door+"?"+query, ""); a.Status != http.StatusOK {
				t.Fatalf("GET %s was answered %d %s", query, a.Status, a.Body)
			}
		}
	}
	offer := `{"app":"game","source":"wall","id":"offer-1","event_type":"completion","reward_event_type":"valued","user_id":"279058397","ymid":"offer-view"}`
	if a := s.Local(t, "POST", "/v1/events", offer, "Content-Type", "application/json"); !strings.Contains(a.Body, `"accepted"`) {
		t.Fatalf("the offer was answered %s", a.Body)
	}
	var rewards api.RewardList
	s.Get(t, "/v1/rewards?app=game&rule=watch", &rewards)
	events := s.Events(t, "app=shop&ymid=user123")
	if len(rewards.Rewards) != 1 || len(events) != 1 {
		t.Fatalf("the server has %d rewards and %d events, want one of each", len(rewards.Rewards), len(events))
	}
	var story api.Story
	caromtest.Until(t, "the delivery to end", func() bool {
		s.Get(t, "/v1/events/"+string(events[0].ID), &story)
		return len(story.Deliveries) == 1 && story.Deliveries[0].State != "pending"
	})
	refused := s.Received(t, "refused")
	s.Key(t, "read", "")
	var keys api.KeyList
	s.Get(t, "/v1/keys", &keys)
	s.names = strings.NewReplacer(
		"evt_0c5g21r0000010000000k", string(story.Event.ID), "dlv_0c5g21r0000010000000k00", string(story.Deliveries[0].ID),
		"rwd_0c5g21r0000010000000k", string(rewards.Rewards[0].ID), "vw_0c5g21r0000010000000k", string(story.Event.View),
		"rcv_0c5g21r0000010000000k", string(refused[0].ID), "SECRET", caromtest.Secret,
		"key_0123456789ab", string(keys.Keys[0].ID), "https://carom.example.com", s.URL,
	)
	return s
}

// mayFind are the commands whose exit code says that they have found something to look at.
var mayFind = map[string]bool{"status": true, "shadow": true, "verify": true, "resend": true}

// TestSamplesOfCommands runs the commands of all pages, in the order of the page, against a server that has what they speak
// of. Those that it leaves out are in notRun, with the reasons.
func TestSamplesOfCommands(t *testing.T) {
	s := startSampleServer(t)
	file := filepath.Join(t.TempDir(), "carom.yaml")
	if err := os.WriteFile(file, []byte(s.objects), 0o600); err != nil {
		t.Fatal(err)
	}
	all := samples(t)
	ran := map[string]bool{}
	for i, sample := range all {
		if sample.page == "docs/start-network.md" && sample.kind == "yaml" {
			s.applyHere(t, sample)
		}
		isCommand := sample.kind == "sh" || sample.kind == "console" || strings.HasPrefix(sample.text, "carom ")
		if !isCommand || sample.kind == "console" && sample.page == "docs/start-publisher.md" || sample.page == "docs/commands.md" && sample.kind == "text" {
			continue
		}
		for _, c := range sample.commands() {
			line := strings.Join(c.words, " ")
			if c.program() != "carom" || c.whyNotRun() != "" || ran[line] || strings.Contains(line, "…") {
				continue
			}
			ran[line] = true
			args := make([]string, 0, len(c.words)+3)
			for _, word := range c.words[1:] {
				switch word {
				case "/var/lib/carom":
					word = s.Data
				case "carom.yaml":
					word = file
				case "secrets.key", "/etc/carom/secrets.key": // made anew each time
					word = filepath.Join(t.TempDir(), "secrets.key")
				}
				args = append(args, s.names.Replace(word))
			}
			r := s.carom1(t, args)
			if r.code != exitOK && (r.code != exitProblem || !mayFind[c.subcommand()]) {
				t.Errorf("%s: %s ended with %d: %s%s", sample, line, r.code, r.out, r.errOut)
			}
			if c.subcommand() == "rotate" {
				s.Apply(t, s.objects) // the secret that the other samples know counts again
			}
			// A transcript whose lines are those of the samples' server is compared in full.
			if i+1 < len(all) && strings.HasPrefix(all[i+1].text, "VERIFIED") && r.out != all[i+1].text {
				t.Errorf("%s (-want +got):\n%s", all[i+1], cmp.Diff(all[i+1].text, r.out))
			}
		}
	}
	if len(ran) < 40 {
		t.Errorf("only %d commands were run", len(ran))
	}
	for _, sample := range all {
		if !strings.HasPrefix(sample.text, "level=INFO") {
			continue
		}
		for _, key := range regexp.MustCompile(`[a-z_]+=`).FindAllString(sample.text, -1) {
			if !strings.Contains(s.Log(), key) {
				t.Errorf("%s: the log of a server has no %s", sample, key)
			}
		}
	}
}

// carom1 runs a command, and answers for the person whom it would ask.
func (s *sampleServer) carom1(t *testing.T, args []string) result {
	t.Helper()
	switch joined := strings.Join(args, " "); args[0] {
	case "void", "grant", "reprocess", "resend", "apply":
		if !strings.Contains(joined, "--dry-run") && !strings.Contains(joined, "--yes") {
			args = append(args, "--yes")
		}
	}
	if args[0] == "resend" && strings.HasPrefix(args[1], "evt_") || args[0] == "resend" && strings.HasPrefix(args[1], "dlv_") {
		args = args[:2]
	}
	if args[0] == "networks" || args[0] == "version" {
		return carom1(t, "", args...)
	}
	return carom1(t, "", append(args, "--data", s.Data)...)
}

// alike takes out of a text what differs from run to run: ids, secrets, times, ports, how long something took.
func alike(text string) string {
	for _, r := range []struct{ find, put string }{
		{anID.String(), "${1}_ID"},
		{`"ymid":"[0-9a-z]{30,}"`, `"ymid":"YMID"`},
		{`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?`, "TIME"},
		{`\b\d\d:\d\d:\d\d\.\d{3}\b`, "TIME"},
		{`127\.0\.0\.1:\d+`, "HOST"},
		{`in [0-9.]+(µs|ms|s)\b`, "in TOOK"},
		{`(TIME|_ID) {2,}`, "$1  "},
	} {
		text = regexp.MustCompile(r.find).ReplaceAllString(text, r.put)
	}
	return strings.TrimSpace(text)
}

// curl sends what a line of curl would send, and returns the body of the answer. It knows the options that the pages use.
func curl(t *testing.T, words []string) string {
	t.Helper()
	method, target, body := "GET", "", ""
	var header []string
	for i := 1; i < len(words); i++ {
		switch word := words[i]; word {
		case "-H":
			i++
			name, value, _ := strings.Cut(words[i], ": ")
			header = append(header, name, value)
		case "-d", "--data-binary":
			i++
			if body = words[i]; method == "GET" {
				method = "POST"
			}
		case "-X":
			i++
			method = words[i]
		case "-s", "-sS", "-f", "-fsS", "-i":
		default:
			if target != "" || strings.HasPrefix(word, "-") {
				t.Fatalf("this test does not know %q of %q", word, words)
			}
			target = word
		}
	}
	return caromtest.Do(t, method, target, body, header...).Body
}

// TestSamplesOfHTTP sends the curl lines of the pages about HTTP to a server, and compares the answers with those shown.
func TestSamplesOfHTTP(t *testing.T) {
	s := startSampleServer(t)
	keys := map[string]string{
		"docs/api.md": s.Key(t, "events", "shop"), "docs/views.md": s.Key(t, "events", "game"), "docs/start-network.md": s.Key(t, "events", ""),
	}
	var view api.OpenedView
	sent := 0
	for _, sample := range samples(t) {
		switch {
		case sample.page == "docs/start-publisher.md" || sample.page == "docs/self-service.md":
			continue // TestSamplesOfStartPublisher and TestSamplesOfSelfService run these
		case sample.page == "docs/reference.md":
			continue // TestExamplesAreValid of internal/api compares these with what the routes take
		case sample.page == "docs/start-network.md" && sample.kind == "yaml":
			s.applyHere(t, sample)
		case sample.page == "docs/start-network.md" && sample.kind == "text":
			s.compareSent(t, sample)
		}
		for _, c := range sample.commands() {
			if c.program() != "curl" || sample.kind != "sh" && sample.kind != "console" {
				continue
			}
			key := keys[sample.page]
			if strings.Contains(strings.Join(c.words, " "), "dry_run") {
				key = s.Key(t, "admin", "")
			}
			for i, word := range c.words {
				word = strings.NewReplacer("http://127.0.0.1:8080", s.URL, "$KEY", key).Replace(word)
				if view.ViewID != "" {
					word = regexp.MustCompile(`\bvw_[0-9a-z]+`).ReplaceAllString(word, string(view.ViewID))
					word = regexp.MustCompile(`\bvt_[0-9a-z]+`).ReplaceAllString(word, view.Token)
				}
				c.words[i] = word
			}
			got := curl(t, c.words)
			sent++
			if diff := cmp.Diff(alike(c.output), alike(got)); diff != "" && c.output != "" {
				t.Errorf("%s: the answer (-want +got):\n%s", sample, diff)
			}
			if strings.Contains(got, `"view_id"`) && view.ViewID == "" {
				if err := json.Unmarshal([]byte(got), &view); err != nil {
					t.Fatal(err)
				}
				// Whoever waits for a view hears of it once the network has reported its ad.
				if a := caromtest.Do(t, "GET", s.URL+"/in/game/monetag/"+caromtest.Secret+"?event=impression&value=valued&ymid="+view.YMID, ""); a.Status != http.StatusOK {
					t.Fatalf("the postback was answered %d %s", a.Status, a.Body)
				}
			}
		}
	}
	if sent < 5 {
		t.Errorf("only %d requests were sent", sent)
	}
}

// publicURL is the URL of an endpoint in a sample, up to its host.
var publicURL = regexp.MustCompile(`\burl: ("?)https://[a-z.]+`)

// applyHere applies the objects file of a sample, with its endpoints on this machine.
func (s *sampleServer) applyHere(t *testing.T, sample sample) {
	t.Helper()
	yaml := publicURL.ReplaceAllString(sample.text, "allow_private: true\n        url: ${1}"+s.endpoint.URL)
	if a := s.Local(t, "POST", "/v1/apply", yaml, "Content-Type", "application/yaml"); a.Status != http.StatusOK {
		t.Fatalf("%s: apply was answered %d %s", sample, a.Status, a.Body)
	}
}

// compareSent compares what endpoints were sent with what a sample says: a line for each, method, path with query, and body.
func (s *sampleServer) compareSent(t *testing.T, sample sample) {
	t.Helper()
	for line := range strings.Lines(sample.text) {
		_, target, _ := strings.Cut(strings.TrimSpace(line), " ")
		target, body, _ := strings.Cut(target, " ")
		path, _, _ := strings.Cut(target, "?")
		sent := s.endpoint.Wait(t, path, 1)[0]
		got := strings.TrimSpace(sent.Method + " " + path)
		if sent.Query != "" {
			got += "?" + sent.Query
		}
		if body != "" {
			got += " " + sent.Body
		}
		if diff := cmp.Diff(alike(line), alike(got)); diff != "" {
			t.Errorf("%s: what was sent (-want +got):\n%s", sample, diff)
		}
	}
}

// TestSamplesOfStartPublisher types what docs/start-publisher.md says, in its order, into the example that `make run` starts,
// and compares what comes back.
func TestSamplesOfStartPublisher(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is missing, which scripts/run.sh needs:", err)
	}
	dir, err := os.MkdirTemp("", "carom") // t.TempDir is too long for the path of a socket on some systems
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	port := freePort(t)
	e := startExample(t, dir, port, freePort(t))
	defer e.stop()
	secrets := regexp.MustCompile(`\$\(cat run/([a-z.-]+)\)`)
	typed := 0
	for _, sample := range samples(t) {
		if sample.page != "docs/start-publisher.md" {
			continue
		}
		if strings.HasPrefix(sample.text, "received ") {
			for want := range strings.Lines(sample.text) {
				ymid := regexp.MustCompile(`ymid=[a-z0-9]+`).FindString(want)
				if got := e.find("GET /postback?" + ymid + "&"); alike(got) != alike(want) {
					t.Errorf("%s: the receiver printed\n%s\nwant\n%s", sample, alike(got), alike(want))
				}
			}
			continue
		}
		if sample.kind != "sh" && sample.kind != "console" {
			continue
		}
		for _, c := range sample.commands() {
			line := strings.Join(c.words, " ")
			var got string
			switch {
			case c.program() == "curl":
				for i, word := range c.words {
					word = secrets.ReplaceAllStringFunc(word, func(m string) string {
						text, err := os.ReadFile(filepath.Join(dir, secrets.FindStringSubmatch(m)[1]))
						if err != nil {
							t.Fatal(err)
						}
						return string(text)
					})
					c.words[i] = strings.Replace(word, "127.0.0.1:8080", "127.0.0.1:"+port, 1)
				}
				got = curl(t, c.words)
			case c.words[0] == "bin/carom":
				e.find("GET /postback?ymid=user123") // the attempt was made, and is told of a moment later
				args := strings.Split(strings.ReplaceAll(strings.Join(c.words[1:], "\x00"), "run/data", filepath.Join(dir, "data")), "\x00")
				caromtest.Until(t, line+" shows the attempt", func() bool {
					got = carom1(t, "", args...).out
					return strings.Contains(got, "status 200")
				})
			default:
				continue
			}
			typed++
			if diff := cmp.Diff(alike(c.output), alike(got)); diff != "" && c.output != "" {
				t.Errorf("%s: %s (-want +got):\n%s", sample, line, diff)
			}
		}
	}
	if typed < 8 {
		t.Errorf("only %d lines were typed", typed)
	}
}

// find returns the line that the example has printed, or prints next, with a text in it.
func (e *example) find(text string) string {
	e.t.Helper()
	for _, line := range e.seen {
		if strings.Contains(line, text) {
			return line
		}
	}
	return e.until(text)
}

// TestNginxSamples has nginx check every snippet of its configuration that the pages show.
func TestNginxSamples(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = "/usr/sbin/nginx" // not in everybody's path
		if _, err := os.Stat(nginx); err != nil {
			if os.Getenv("CAROM_TEST_ALL") == "1" {
				t.Fatal(err)
			}
			t.Skip("nginx is missing, so the snippets are not checked")
		}
	}
	for _, sample := range samples(t) {
		if sample.kind != "nginx" {
			continue
		}
		dir := t.TempDir()
		if out, err := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=carom.example.com",
			"-keyout", filepath.Join(dir, "carom.example.com.key"), "-out", filepath.Join(dir, "carom.example.com.pem")).CombinedOutput(); err != nil {
			t.Fatalf("openssl: %v: %s", err, out)
		}
		snippet := strings.ReplaceAll(sample.text, "/etc/ssl/", dir+"/")
		text := fmt.Sprintf("pid %[1]s/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n%[2]s}\n", dir, snippet)
		file := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(nginx, "-t", "-q", "-p", dir, "-c", file).CombinedOutput(); err != nil {
			t.Errorf("%s: nginx refuses it: %s", sample, out)
		}
	}
}

// TestStatusTranscript: docs/operations.md shows what status prints of such a server.
func TestStatusTranscript(t *testing.T) {
	at := func(text string) time.Time {
		parsed, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	const what = "it does not take deliveries, so only one is tried now and then; last answer: status 503"
	st := api.Status{
		Verdict: api.Attention, Sentence: "Nothing is being lost, and 1 thing needs a look: endpoint shop/backend: " + what + ".",
		Items: []api.Item{{
			Severity: api.Attention, Subject: "endpoint shop/backend", Since: at("2026-11-22 09:00"), Fault: api.Receiver, What: what,
			HowMuch: "12 deliveries wait, the oldest from 2026-11-22 09:00 UTC; the first expires 2026-11-25 09:00 UTC",
			Next:    "repair the server behind it, then: carom resume shop/backend", Runbook: "docs/runbook/endpoint-dead.md",
		}},
		Sources: []api.SourceStatus{{ID: "shop/monetag", State: "ok", LastReceived: at("2026-11-22 11:59"), LastHour: api.HourCounts{Accepted: 120, Duplicate: 2}}},
		Endpoints: []api.EndpointStatus{{
			ID: "shop/backend", State: "dead", Since: at("2026-11-22 09:00"), Fault: api.Receiver, Waiting: 12, LastFailure: "status 503",
			FirstExpires: at("2026-11-25 09:00"), LastSuccess: at("2026-11-22 08:59"),
		}},
	}
	var b strings.Builder
	writeStatus(&b, &st)
	writeStates(&b, &st)
	if want := "```console\n$ carom status\n" + b.String() + "```\n"; !strings.Contains(allPages(t)["docs/operations.md"], want) {
		t.Errorf("docs/operations.md does not show what the command prints:\n%s", want)
	}
}
