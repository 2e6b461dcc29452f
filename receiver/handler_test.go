package receiver_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"

	"carom"
	"carom/receiver"
)

const (
	eventBody = `{"type":"event.completion","timestamp":"2026-11-22T08:59:39.329Z","data":{"event_id":"evt_1","delivery_id":"dlv_1",` +
		`"app":"shop","source":"server","network":"api","event_type":"completion","reward_event_type":"valued","ymid":"user123",` +
		`"zone_id":"1","sub_zone_id":"2","request_var":"bonus","telegram_id":"42","user_id":"u-4711","external_id":"order-7",` +
		`"estimated_price":"0.0023","received_at":1795337979,"fields":{"level":"3"}}}`
	testBody = `{"type":"event.click","data":{"delivery_id":"dlv_1","event_type":"click","reward_event_type":"valued","ymid":"u","test":true}}`
)

// rewardQuery is what a template that holds all macros of a reward becomes.
const rewardQuery = "app=game&event_id=evt_1&delivery_id=dlv_1&test=&level=3&reward_id=rwd_1&reward_state=granted&reward_rule=watch" +
	"&reward_amount=12.5&reward_currency=coins&reward_user=u1"

// rewardBody is what carom sends about a reward.
func rewardBody(delivery, state string) string {
	return `{"type":"reward.` + state + `","data":{"delivery_id":"` + delivery + `","event_id":"evt_1","app":"game","reward":{"id":"rwd_1",` +
		`"rule":"watch","amount":"12.5","currency":"coins","user":"u1","state":"` + state + `"}}}`
}

// book is an app's database: what was granted, and how often grant was called.
type book struct {
	db    *sql.DB
	store *receiver.SQL

	mu    sync.Mutex // guards what follows
	calls int
	fail  func(point string) error // asked at "mark" and at "grant"; nil: all is well
}

func newBook(t *testing.T) *book {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "app.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // the folder goes with it
	b := &book{db: db, store: receiver.NewSQL(db, receiver.SQLite)}
	for range 2 { // the second time changes nothing
		if err := b.store.Create(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec("CREATE TABLE coins (user TEXT, coins INTEGER)"); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *book) grant(ctx context.Context, tx *sql.Tx, p receiver.Postback) error {
	b.mu.Lock()
	b.calls++
	fail := b.fail
	b.mu.Unlock()
	if fail != nil {
		if err := fail("mark"); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO coins VALUES (?, 1)", p.YMID); err != nil {
		return err
	}
	if fail != nil {
		return fail("grant")
	}
	return nil
}

// coins returns how much was granted in all.
func (b *book) coins(t *testing.T) int {
	t.Helper()
	var n int
	if err := b.db.QueryRow("SELECT count(*) FROM coins").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func options(secrets ...string) receiver.Options {
	return receiver.Options{
		Secrets: secrets, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Unix(sampleMoment, 0) },
	}
}

// handlerOf makes a handler that grants into b.
func handlerOf(t *testing.T, o receiver.Options, b *book) http.Handler {
	t.Helper()
	h, err := receiver.New(o, b.store, b.grant)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// signedPOST is an attempt with a body, signed with secret at a moment.
func signedPOST(t *testing.T, id, body, secret string, at time.Time) *http.Request {
	t.Helper()
	signature, err := receiver.SignStandard(id, at, []byte(body), secret)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/carom", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(receiver.HeaderID, id)
	r.Header.Set(receiver.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	r.Header.Set(receiver.HeaderSignature, signature)
	return r
}

func signedGET(query, secret string) *http.Request {
	return httptest.NewRequest("GET", "/carom?"+query+"&sig="+receiver.SignGET(query, secret), nil)
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandlerDecodes(t *testing.T) {
	at := time.Unix(sampleMoment, 0)
	form := signedPOST(t, "dlv_1", "ymid=u%20v&event_type=click&reward_event_type=valued&event_id=evt_1&delivery_id=dlv_1", textSecret, at)
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	reward := func(state carom.RewardState) receiver.Postback {
		return receiver.Postback{DeliveryID: "dlv_1", EventID: "evt_1", App: "game", Reward: &receiver.Reward{
			ID: "rwd_1", Rule: "watch", Amount: 12_500_000_000, Currency: "coins", User: "u1", State: state,
		}}
	}
	tests := []struct {
		name    string
		request *http.Request
		want    receiver.Postback
		key     string
	}{
		{"the JSON of an event", signedPOST(t, "dlv_1", eventBody, textSecret, at), receiver.Postback{
			DeliveryID: "dlv_1", EventID: "evt_1", App: "shop", Source: "server", Network: "api", Type: carom.Completion, Value: carom.Valued,
			YMID: "user123", ZoneID: "1", SubZoneID: "2", RequestVar: "bonus", TelegramID: "42", UserID: "u-4711", ExternalID: "order-7",
			Price: carom.Price{Nanos: 2_300_000, Set: true}, ReceivedAt: time.Unix(1795337979, 0).UTC(), Fields: map[string]string{"level": "3"},
		}, "dlv_1"},
		{"a form", form, receiver.Postback{
			DeliveryID: "dlv_1", EventID: "evt_1", Type: carom.Click, Value: carom.Valued, YMID: "u v",
		}, "dlv_1"},
		{"a GET", signedGET("ymid=u%26v&event_type=impression&reward_event_type=valued&estimated_price=0.5&received_at=1795337979"+
			"&received_at_ms=1795337979123&delivery_id=dlv_1&test=&level=3", textSecret), receiver.Postback{
			DeliveryID: "dlv_1", Type: carom.Impression, Value: carom.Valued, YMID: "u&v", Price: carom.Price{Nanos: 500_000_000, Set: true},
			ReceivedAt: time.UnixMilli(1795337979123).UTC(), Fields: map[string]string{"level": "3"},
		}, "dlv_1"},
		{"a reward by GET", signedGET(rewardQuery, textSecret), receiver.Postback{DeliveryID: "dlv_1", EventID: "evt_1", App: "game",
			Reward: reward(carom.RewardGranted).Reward, Fields: map[string]string{"level": "3"}}, "rwd_1 granted"},
		{"a reversal by GET", signedGET(strings.Replace(rewardQuery, "granted", "reversed", 1), textSecret), receiver.Postback{
			DeliveryID: "dlv_1", EventID: "evt_1", App: "game", Reward: reward(carom.RewardReversed).Reward,
			Fields: map[string]string{"level": "3"}}, "rwd_1 reversed"},
		{"a field of an event that is called like a reward's", signedGET("ymid=u&delivery_id=dlv_1&test=&reward_amount=7", textSecret),
			receiver.Postback{DeliveryID: "dlv_1", YMID: "u", Fields: map[string]string{"reward_amount": "7"}}, "dlv_1"},
		{"a reward", signedPOST(t, "dlv_1", rewardBody("dlv_1", "granted"), textSecret, at), reward(carom.RewardGranted), "rwd_1 granted"},
		{"a reversal of it", signedPOST(t, "dlv_1", rewardBody("dlv_1", "reversed"), textSecret, at), reward(carom.RewardReversed),
			"rwd_1 reversed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBook(t)
			var got []receiver.Postback
			h, err := receiver.New(options(textSecret), b.store, func(_ context.Context, _ *sql.Tx, p receiver.Postback) error {
				got = append(got, p)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if w := serve(h, tt.request); w.Code != 200 || w.Body.Len() > 0 {
				t.Fatalf("answered %d %q, want an empty 200", w.Code, w.Body)
			}
			if diff := cmp.Diff([]receiver.Postback{tt.want}, got); diff != "" {
				t.Errorf("granted (-want +got):\n%s", diff)
			}
			if len(got) == 1 && got[0].Key() != tt.key {
				t.Errorf("its key is %q, want %q", got[0].Key(), tt.key)
			}
		})
	}
}

func TestHandlerRefuses(t *testing.T) {
	at := time.Unix(sampleMoment, 0)
	post := func(body string) *http.Request { return signedPOST(t, "dlv_1", body, textSecret, at) }
	altered := post(eventBody)
	altered.Body = httptest.NewRequest("POST", "/", strings.NewReader(strings.Replace(eventBody, "user123", "user124", 1))).Body
	asForm := post("ymid=u&delivery_id=dlv_2")
	asForm.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// Who takes the signature of a POST for one of a GET would believe a query that a user wrote into a ymid.
	crossed := post(`{"type":"event.click","data":{"ymid":"&delivery_id=dlv_9&test=&ymid=u"}}`)
	signature, _ := strings.CutPrefix(crossed.Header.Get(receiver.HeaderSignature), "v1,")
	sum, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	const whole = "ymid=u&event_type=click&reward_event_type=valued&delivery_id=dlv_1&test="
	tests := []struct {
		name    string
		request *http.Request
		status  int
		says    string // a part of the body; empty: there is none
	}{
		{"no signature", httptest.NewRequest("GET", "/carom?"+whole, nil), 403, ""},
		{"another secret", signedGET(whole, otherSecret), 403, ""},
		{"a POST of another secret", signedPOST(t, "dlv_1", eventBody, otherSecret, at), 403, ""},
		{"another body", altered, 403, ""},
		{"too old", signedPOST(t, "dlv_1", eventBody, textSecret, at.Add(-5*time.Minute-time.Second)), 403, ""},
		{"from the future", signedPOST(t, "dlv_1", eventBody, textSecret, at.Add(5*time.Minute+time.Second)), 403, ""},
		{"the signature of a POST in a GET", httptest.NewRequest("GET", "/carom?"+whole+fmt.Sprintf("&sig=%x", sum), nil), 403, ""},
		{"PUT", httptest.NewRequest("PUT", "/carom?"+whole, nil), 405, ""},
		{"HEAD of a signed query", httptest.NewRequest("HEAD", "/carom?"+whole+"&sig="+receiver.SignGET(whole, textSecret), nil), 405, ""},
		{"a body that is too large", post(strings.Repeat("x", 256<<10+1)), 413, ""},
		{"a query that is too long", signedGET(whole+"&x="+strings.Repeat("x", 32<<10), textSecret), 414, ""},
		{"a GET without its delivery id", signedGET("ymid=u&test=", textSecret), 400, "put &delivery_id={delivery_id}"},
		{"a GET that could be a test", signedGET("ymid=u&delivery_id=dlv_1", textSecret), 400, "put &test={test}"},
		{"a parameter twice", signedGET(whole+"&ymid=v", textSecret), 400, "more than once"},
		{"a price that is none", signedGET(whole+"&estimated_price=NaN", textSecret), 400, "estimated_price"},
		{"a time that is none", signedGET(whole+"&received_at=99999999999999999", textSecret), 400, "received_at"},
		{"no JSON", post("hello"), 400, "remove the endpoint's own `body`"},
		{"a template of its own", post(`{"user":"u"}`), 400, "remove the endpoint's own `body`"},
		{"a form of another delivery", asForm, 400, "another delivery"},
		{"JSON of another delivery", signedPOST(t, "dlv_2", eventBody, textSecret, at), 400, "another delivery"},
		{"a type of a newer carom", post(`{"type":"view.expired","data":{"ymid":"u"}}`), 400, "update it"},
		{"two types", post(strings.Replace(eventBody, "event.completion", "event.click", 1)), 400, "does not go with"},
		{"a reward that says otherwise", post(strings.Replace(rewardBody("dlv_1", "granted"), "reward.granted", "reward.reversed", 1)), 400, "does not go with"},
		{"a negative reward", post(strings.Replace(rewardBody("dlv_1", "granted"), "12.5", "-12.5", 1)), 400, "data.reward.amount"},
		{"a reward by GET in no state", signedGET(strings.Replace(rewardQuery, "granted", "held", 1), textSecret), 400, "put &reward_state={reward_state}"},
		{"a reward by GET for nobody", signedGET(strings.Replace(rewardQuery, "u1", "", 1), textSecret), 400, "put &reward_user={reward_user}"},
		{"a reward by GET without its id", signedGET(strings.Replace(rewardQuery, "rwd_1", "", 1), textSecret), 400, "reward_id"},
		{"a reward by GET without its amount", signedGET(strings.Replace(rewardQuery, "12.5", "", 1), textSecret), 400, "reward_amount"},
		{"a reward by GET with its amount cut", signedGET(strings.Replace(rewardQuery, "12.5", "0.0000000001", 1), textSecret), 400, "reward_amount"},
		{"a reward for nobody", post(strings.Replace(rewardBody("dlv_1", "granted"), "u1", "", 1)), 400, "user"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBook(t)
			w := serve(handlerOf(t, options(textSecret), b), tt.request)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) || (tt.says == "" && w.Body.Len() > 0) {
				t.Errorf("answered %d %q, want %d %q", w.Code, w.Body, tt.status, tt.says)
			}
			if b.calls != 0 || b.coins(t) != 0 {
				t.Errorf("grant was called %d times, want 0", b.calls)
			}
		})
	}
}

func TestHandlerTakesEachLiveSecret(t *testing.T) {
	b := newBook(t)
	h := handlerOf(t, options(whsecSecret, textSecret), b)
	at := time.Unix(sampleMoment, 0)
	for i, secret := range []string{whsecSecret, textSecret} {
		id := fmt.Sprint("dlv_p", i)
		body := strings.Replace(eventBody, "dlv_1", id, 1)
		if w := serve(h, signedPOST(t, id, body, secret, at)); w.Code != 200 {
			t.Errorf("a POST of secret %d was answered %d, want 200", i, w.Code)
		}
		if w := serve(h, signedGET(fmt.Sprintf("delivery_id=dlv_g%d&test=", i), secret)); w.Code != 200 {
			t.Errorf("a GET of secret %d was answered %d, want 200", i, w.Code)
		}
	}
	if got := b.coins(t); got != 4 {
		t.Errorf("granted %d, want 4", got)
	}
}

func TestHandlerNeverGrantsTests(t *testing.T) {
	at := time.Unix(sampleMoment, 0)
	query := "ymid=u&delivery_id=dlv_1&test=1"
	for _, r := range []*http.Request{signedPOST(t, "dlv_1", testBody, textSecret, at), signedGET(query, textSecret)} {
		b := newBook(t)
		o := options(textSecret)
		if w := serve(handlerOf(t, o, b), r.Clone(t.Context())); w.Code != 200 || b.calls != 0 {
			t.Errorf("a test by %s was answered %d and granted %d times, want 200 and 0", r.Method, w.Code, b.calls)
		}
	}
	b := newBook(t)
	o := options(textSecret)
	var seen []string
	o.Test = func(_ context.Context, p receiver.Postback) error { seen = append(seen, p.YMID); return nil }
	h := handlerOf(t, o, b)
	for range 2 {
		if w := serve(h, signedGET(query, textSecret)); w.Code != 200 {
			t.Errorf("answered %d, want 200", w.Code)
		}
	}
	if diff := cmp.Diff([]string{"u", "u"}, seen); diff != "" || b.calls != 0 {
		t.Errorf("the callback saw (-want +got):\n%s\nand grant was called %d times", diff, b.calls)
	}
}

// However the first attempts end, the one that is answered 200 leaves one grant behind.
func TestGrantsOnce(t *testing.T) {
	at := time.Unix(sampleMoment, 0)
	broken := errors.New("the app's database is gone")
	failAt := func(point string, how func() error) func(*book) {
		return func(b *book) {
			b.fail = func(at string) error {
				if at == point {
					return how()
				}
				return nil
			}
		}
	}
	fail := func() error { return broken }
	panics := func() error { panic(broken) }
	tests := []struct {
		name  string
		first func(*book)
		code  int // of the first attempt; 0: it is broken off by a panic
		left  int // coins after it
	}{
		{"all is well", func(*book) {}, 200, 1},
		{"an error between mark and grant", failAt("mark", fail), 500, 0},
		{"an error between grant and commit", failAt("grant", fail), 500, 0},
		{"a panic between mark and grant", failAt("mark", panics), 0, 0},
		{"a panic between grant and commit", failAt("grant", panics), 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBook(t)
			h := handlerOf(t, options(textSecret), b)
			tt.first(b)
			func() {
				defer func() { // as net/http does
					if got := recover(); (got != nil) != (tt.code == 0) {
						t.Errorf("recovered %v", got)
					}
				}()
				if w := serve(h, signedPOST(t, "dlv_1", eventBody, textSecret, at)); w.Code != tt.code || w.Body.Len() > 0 {
					t.Errorf("the first was answered %d %q, want an empty %d", w.Code, w.Body, tt.code)
				}
			}()
			if got := b.coins(t); got != tt.left {
				t.Errorf("after the first there are %d coins, want %d", got, tt.left)
			}
			b.fail = nil
			for range 3 {
				if w := serve(h, signedPOST(t, "dlv_1", eventBody, textSecret, at)); w.Code != 200 {
					t.Errorf("a repeat was answered %d, want 200", w.Code)
				}
			}
			if got := b.coins(t); got != 1 {
				t.Errorf("after three repeats there are %d coins, want 1", got)
			}
		})
	}
}

// lostAnswer is a store whose commit takes place, and is then not known to have: as when the connection breaks.
type lostAnswer struct {
	*receiver.SQL
	lost bool
}

func (s *lostAnswer) Once(ctx context.Context, key string, grant func(context.Context, *sql.Tx) error) (bool, error) {
	first, err := s.SQL.Once(ctx, key, grant)
	if err == nil && !s.lost {
		s.lost = true
		return false, errors.New("the connection broke")
	}
	return first, err
}

func TestCommitWithoutAnswer(t *testing.T) {
	b := newBook(t)
	h, err := receiver.New(options(textSecret), &lostAnswer{SQL: b.store}, b.grant)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{500, 200, 200} {
		if w := serve(h, signedPOST(t, "dlv_1", eventBody, textSecret, time.Unix(sampleMoment, 0))); w.Code != want {
			t.Errorf("attempt %d was answered %d, want %d", i+1, w.Code, want)
		}
	}
	if got := b.coins(t); got != 1 || b.calls != 1 {
		t.Errorf("%d coins by %d calls, want 1 by 1", got, b.calls)
	}
}

func TestParallelCopies(t *testing.T) {
	b := newBook(t)
	h := handlerOf(t, options(textSecret), b)
	const copies = 16
	var wg sync.WaitGroup
	codes := make(chan int, copies)
	for range copies {
		r := signedPOST(t, "dlv_1", eventBody, textSecret, time.Unix(sampleMoment, 0))
		wg.Go(func() { codes <- serve(h, r).Code })
	}
	wg.Wait()
	close(codes)
	for code := range codes {
		if code != 200 {
			t.Errorf("a copy was answered %d, want 200", code)
		}
	}
	if got := b.coins(t); got != 1 || b.calls != 1 {
		t.Errorf("%d coins by %d calls, want 1 by 1", got, b.calls)
	}
}

// One reward that comes by two deliveries counts once; its reversal is another thing.
func TestRewardAndReversal(t *testing.T) {
	b := newBook(t)
	h := handlerOf(t, options(textSecret), b)
	at := time.Unix(sampleMoment, 0)
	for _, tt := range []struct{ id, state string }{{"dlv_1", "granted"}, {"dlv_2", "granted"}, {"dlv_3", "reversed"}, {"dlv_3", "reversed"}} {
		if w := serve(h, signedPOST(t, tt.id, rewardBody(tt.id, tt.state), textSecret, at)); w.Code != 200 {
			t.Errorf("%s %s was answered %d, want 200", tt.id, tt.state, w.Code)
		}
	}
	if b.calls != 2 {
		t.Errorf("grant was called %d times, want 2", b.calls)
	}
}

// A sender that hangs up does not end a grant: if it did, a slow one would never come to its end.
func TestGrantOutlivesTheRequest(t *testing.T) {
	b := newBook(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.fail = func(string) error { cancel(); return nil }
	serve(handlerOf(t, options(textSecret), b), signedPOST(t, "dlv_1", eventBody, textSecret, time.Unix(sampleMoment, 0)).WithContext(ctx))
	if got := b.coins(t); got != 1 {
		t.Errorf("%d coins, want 1", got)
	}
}

func TestNewNeedsSecrets(t *testing.T) {
	b := newBook(t)
	for name, secrets := range map[string][]string{"none": nil, "an empty one": {textSecret, ""}, "a short one": {"short"}} {
		if h, err := receiver.New(options(secrets...), b.store, b.grant); h != nil || !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("New with %s = %v, %v; want ErrInvalid", name, h, err)
		}
	}
}

// What is logged names the delivery, and holds neither secret nor user.
func TestHandlerLog(t *testing.T) {
	b := newBook(t)
	var log strings.Builder
	o := options(textSecret)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	h := handlerOf(t, o, b)
	b.fail = func(string) error { return errors.New("no space") }
	at := time.Unix(sampleMoment, 0)
	serve(h, signedPOST(t, "dlv_1", eventBody, textSecret, at))
	serve(h, signedPOST(t, "dlv_1", eventBody, otherSecret, at))
	for _, want := range []string{"dlv_1", "no space", "no matching signature", "status=403"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, &log)
		}
	}
	for _, never := range []string{textSecret, otherSecret, "user123", "u-4711"} {
		if strings.Contains(log.String(), never) {
			t.Errorf("the log holds %q:\n%s", never, &log)
		}
	}
}
