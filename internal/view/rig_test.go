package view

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"carom"
)

// now is the moment at which tests without a clock of their own take place. Telegram signed the vector of the third-party
// scheme some hours before.
var now = time.Unix(1733600000, 0).UTC()

const (
	gameBot = "42:TEST"
	page    = "https://game.example"
)

// fakeStore keeps views in a map.
type fakeStore struct {
	seal carom.ViewSeal
	keys map[[32]byte]carom.APIKey

	mu       sync.Mutex // guards all below
	views    map[carom.ViewID]*carom.View
	outcomes map[carom.ViewID]carom.ViewOutcome
	fail     error  // what every call returns
	reading  func() // called by ViewOutcome, after it has read
}

func (s *fakeStore) OpenView(_ context.Context, v *carom.View) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, other := range s.views {
		if v.YMID != "" && other.App == v.App && other.YMID == v.YMID {
			return fmt.Errorf("open view: %w", carom.ErrConflict)
		}
	}
	v.ID = carom.NewOpenedViewID(1, int64(len(s.views)+1))
	if v.YMID == "" {
		v.YMID = s.seal.YMID(v.ID)
	}
	s.views[v.ID] = v
	s.outcomes[v.ID] = carom.ViewOutcome{State: carom.ViewOpen}
	return nil
}

func (s *fakeStore) View(_ context.Context, id carom.ViewID) (*carom.View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	v := s.views[id]
	if v == nil {
		return nil, fmt.Errorf("view: %w", carom.ErrNotFound)
	}
	return v, nil
}

func (s *fakeStore) ViewOutcome(_ context.Context, v *carom.View) (carom.ViewOutcome, error) {
	s.mu.Lock()
	o, reading := s.outcomes[v.ID], s.reading
	s.mu.Unlock()
	if reading != nil {
		reading()
	}
	return o, nil
}

func (s *fakeStore) ViewSeal() carom.ViewSeal { return s.seal }

func (s *fakeStore) KeyBySum(sum [32]byte) (carom.APIKey, bool) {
	k, ok := s.keys[sum]
	return k, ok
}

// rig is a door with a store, at an address.
type rig struct {
	*Door
	store   *fakeStore
	metrics *prometheus.Registry
	client  *http.Client
	url     string
	log     *strings.Builder // may be read when nothing is served any more
}

// newDoor makes a rig that is not served yet. It has two apps with bots and pages of their own, and one without.
func newDoor(change func(*Options)) *rig {
	s := &fakeStore{
		seal: carom.ViewSeal{7}, keys: map[[32]byte]carom.APIKey{},
		views: map[carom.ViewID]*carom.View{}, outcomes: map[carom.ViewID]carom.ViewOutcome{},
	}
	for text, key := range map[string]carom.APIKey{
		"all-admin": {Scope: carom.ScopeAdmin}, "all-events": {Scope: carom.ScopeEvents}, "all-read": {Scope: carom.ScopeRead},
		"game-events": {Scope: carom.ScopeEvents, App: "game"}, "quiz-events": {Scope: carom.ScopeEvents, App: "quiz"},
		"publisher": {Scope: carom.ScopePublisher, Publisher: "acme"},
	} {
		s.keys[sha256.Sum256([]byte(text))] = key
	}
	r := &rig{store: s, metrics: prometheus.NewRegistry(), log: &strings.Builder{}}
	o := Options{
		Store: s, Clock: func() time.Time { return now }, Metrics: r.metrics,
		ByUser: func(s *carom.Source) bool { return s.Name == "adsgram" },
		Log:    slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Local:  func(r *http.Request) bool { return r.Header.Get("X-Test-Local") != "" },
	}
	if change != nil {
		change(&o)
	}
	r.Door = New(o)
	r.Use(carom.Objects{
		Apps: []carom.App{
			{Name: "game", Origins: []string{page, "https://beta.game.example"}, BotToken: gameBot},
			{Name: "quiz", Origins: []string{"https://quiz.example"}, BotID: 7342037359},
			{Name: "site"},
		},
		Sources: []carom.Source{{App: "game", Name: "monetag"}, {App: "game", Name: "adsgram"}, {App: "quiz", Name: "unity"}},
	})
	return r
}

// newRig serves a door over TCP.
func newRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	r := newDoor(change)
	mux := http.NewServeMux()
	r.Register(mux)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	r.client, r.url = srv.Client(), srv.URL
	return r
}

// pipeRig serves a door over connections in memory, so that it runs in a bubble of testing/synctest, with its clock and
// with the limits on the time of a request that the real server has.
func pipeRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	r := newDoor(func(o *Options) {
		o.Clock = time.Now
		if change != nil {
			change(o)
		}
	})
	mux := http.NewServeMux()
	r.Register(mux)
	ln := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(ln) }) // it ends when the test closes it
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		ln.conns <- far
		return near, nil
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = srv.Close()
		serving.Wait()
	})
	r.client, r.url = &http.Client{Transport: transport}, "http://carom.test"
	return r
}

// pipes is a listener of connections in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// reply is an answer, read to the end.
type reply struct {
	status int
	header http.Header
	body   string
}

// json reads the body into a map; it is empty if the body is no object.
func (a reply) json() map[string]any {
	m := map[string]any{}
	_ = json.Unmarshal([]byte(a.body), &m)
	return m
}

func (a reply) text(key string) string { s, _ := a.json()[key].(string); return s }

// do sends a request. Each pair of headers is a name and a value.
func (r *rig) do(ctx context.Context, method, path, body string, headers ...string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	resp.Header.Del("Date")
	return reply{resp.StatusCode, resp.Header, string(text)}, err
}

// must is do for tests in which the exchange itself cannot fail.
func (r *rig) must(t testing.TB, method, path, body string, headers ...string) reply {
	t.Helper()
	a, err := r.do(t.Context(), method, path, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// bearer is the header that presents a key or a token.
func bearer(text string) []string { return []string{"Authorization", "Bearer " + text} }

// opened opens a view as the backend of the app game does, and returns its id and token.
func (r *rig) opened(t testing.TB, more string) (carom.ViewID, string) {
	t.Helper()
	a := r.must(t, "POST", "/v1/views", `{"user": "u1"`+more+`}`, bearer("game-events")...)
	if a.status != http.StatusCreated {
		t.Fatalf("open: %d %s", a.status, a.body)
	}
	return carom.ViewID(a.text("view_id")), a.text("token")
}

// settle has the store keep an outcome, and tells it, as the one who commits does.
func (r *rig) settle(id carom.ViewID, o carom.ViewOutcome) {
	r.store.mu.Lock()
	r.store.outcomes[id] = o
	r.store.mu.Unlock()
	r.Tell(id, o)
}

// confirmed is the outcome of a view that earned 5 coins at the given moment.
func confirmed(at time.Time) carom.ViewOutcome {
	return carom.ViewOutcome{State: carom.ViewConfirmed, Reward: &carom.Reward{
		ID: carom.NewRewardID(1, 1), At: at, Rule: "watch", Amount: 5_000_000_000, Currency: "coins", State: carom.RewardGranted, User: "u1", YMID: "secret-ymid",
	}}
}

// signed returns init data with the hash that Telegram would give it.
func signed(token string, at time.Time, user string) string {
	fields := url.Values{"auth_date": {strconv.FormatInt(at.Unix(), 10)}, "query_id": {"AAHdF6IQ"}}
	if user != "" {
		fields.Set("user", user)
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		lines = append(lines, name+"="+fields.Get(name))
	}
	secret := hmac.New(sha256.New, []byte("WebAppData"))
	secret.Write([]byte(token))
	mac := hmac.New(sha256.New, secret.Sum(nil))
	mac.Write([]byte(strings.Join(lines, "\n")))
	return fields.Encode() + "&hash=" + hex.EncodeToString(mac.Sum(nil))
}

// vlad is the user of the init data of the tests.
const vlad = `{"id":279058397,"first_name":"Vlad"}`

// tma is the header that presents init data.
func tma(initData string) []string { return []string{"Authorization", "tma " + initData} }
