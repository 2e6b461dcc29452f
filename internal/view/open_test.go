package view

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// thirdParty is init data that Telegram's production servers signed for the bot 7342037359.
//
// Source: Telegram-Mini-Apps/init-data-golang, validate_test.go; internal/telegram/testdata/vectors.json.
const thirdParty = "user=%7B%22id%22%3A279058397%2C%22first_name%22%3A%22Vladislav%20%2B%20-%20%3F%20%5C%2F%22%2C%22last_name%22%3A%22Kibenko%22%2C%22username%22%3A%22vdkfrost%22%2C%22language_code%22%3A%22ru%22%2C%22is_premium%22%3Atrue%2C%22allows_write_to_pm%22%3Atrue%2C%22photo_url%22%3A%22https%3A%5C%2F%5C%2Ft.me%5C%2Fi%5C%2Fuserpic%5C%2F320%5C%2F4FPEE4tmP3ATHa57u6MqTDih13LTOiMoKoLDRG4PnSA.svg%22%7D&chat_instance=8134722200314281151&chat_type=private&auth_date=1733584787&hash=2174df5b000556d044f3f020384e879c8efcab55ddea2ced4eb752e93e7080d6&signature=zL-ucjNyREiHDE8aihFwpfR9aggP2xiAo3NSpfe-p7IbCisNlDKlo7Kb6G4D0Ao2mBrSgEk4maLSdv6MLIlADQ"

func TestOpenByBackend(t *testing.T) {
	id := carom.NewOpenedViewID(1, 1)
	sealed := carom.ViewSeal{7}.YMID(id)
	tests := []struct {
		name    string
		body    string
		headers []string
		want    carom.View
	}{
		{
			"the app of the key, and nothing that can be left out", `{"user": "u1"}`, bearer("game-events"),
			carom.View{App: "game", User: "u1", YMID: sealed, ByUser: true, ExpiresAt: now.Add(10 * time.Minute)},
		},
		{
			"no source whose events are known by their user", `{"user": "u1", "sources": ["monetag"]}`, bearer("game-events"),
			carom.View{App: "game", User: "u1", YMID: sealed, Sources: []string{"monetag"}, ExpiresAt: now.Add(10 * time.Minute)},
		},
		{
			"everything", `{"app": "game", "user": "u1", "placement": "bonus-btn", "ymid": "my-own 1", "sources": ["monetag", "adsgram"], "expires_in": "1d"}`,
			bearer("all-admin"), carom.View{
				App: "game", User: "u1", YMID: "my-own 1", Placement: "bonus-btn", Sources: []string{"monetag", "adsgram"}, ByUser: true, ExpiresAt: now.Add(24 * time.Hour),
			},
		},
		{
			"a user that is a number", `{"app": "site", "user": 90071992547409931}`, bearer("all-events"),
			carom.View{App: "site", User: "90071992547409931", YMID: sealed, ExpiresAt: now.Add(10 * time.Minute)},
		},
		{
			"the local socket needs no key", `{"app": "game", "user": "u1", "expires_in": "10s"}`, []string{"X-Test-Local", "1"},
			carom.View{App: "game", User: "u1", YMID: sealed, ByUser: true, ExpiresAt: now.Add(10 * time.Second)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			a := r.must(t, "POST", "/v1/views", tt.body, tt.headers...)
			tt.want.ID, tt.want.Fixed, tt.want.OpenedAt = id, true, now
			if a.status != http.StatusCreated || a.header.Get("Cache-Control") != "no-store" {
				t.Fatalf("answer %d %v %s, want 201 that no cache keeps", a.status, a.header, a.body)
			}
			if diff := cmp.Diff(&tt.want, r.store.views[id]); diff != "" {
				t.Errorf("stored view (-want +got):\n%s", diff)
			}
			wantBody := map[string]any{
				"view_id": string(id), "ymid": tt.want.YMID, "token": r.store.seal.Token(id), "state": "open",
				"placement": tt.want.Placement, "expires_at": tt.want.ExpiresAt.Format(time.RFC3339),
			}
			if diff := cmp.Diff(wantBody, a.json()); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpenByBrowser(t *testing.T) {
	id := carom.NewOpenedViewID(1, 1)
	for name, tt := range map[string]struct{ app, initData, origin string }{
		"bot token":                    {"game", signed(gameBot, now.Add(-time.Hour), vlad), page},
		"third party":                  {"quiz", thirdParty, "https://quiz.example"},
		"no origin: not from a page":   {"game", signed(gameBot, now, vlad), ""},
		"another page of the same app": {"game", signed(gameBot, now, vlad), "https://beta.game.example"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			headers := tma(tt.initData)
			if tt.origin != "" {
				headers = append(headers, "Origin", tt.origin)
			}
			a := r.must(t, "POST", "/v1/views", `{"app": "`+tt.app+`", "placement": "bonus-btn", "expires_in": "1h"}`, headers...)
			if a.status != http.StatusCreated || a.header.Get("Access-Control-Allow-Origin") != tt.origin || a.header.Get("Vary") != "Origin" {
				t.Fatalf("answer %d %v %s, want 201 that the page may read", a.status, a.header, a.body)
			}
			want := &carom.View{
				ID: id, App: tt.app, ByUser: tt.app == "game", User: "279058397", YMID: r.store.seal.YMID(id), Placement: "bonus-btn", OpenedAt: now, ExpiresAt: now.Add(time.Hour),
			}
			if diff := cmp.Diff(want, r.store.views[id]); diff != "" {
				t.Errorf("stored view (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	fresh := signed(gameBot, now, vlad)
	long := strings.Repeat("x", 257)
	tests := []struct {
		name    string
		body    string
		headers []string
		status  int
		field   string // of the problem
		says    string // a part of its detail
	}{
		{"nobody", `{}`, nil, 401, "", "Authorization: Bearer KEY"},
		{"another scheme", `{}`, []string{"Authorization", "Basic Zm9v"}, 401, "", "Authorization: tma"},
		{"an unknown key", `{}`, bearer("nope"), 401, "", "not known"},
		{"the token of a view", `{}`, bearer(carom.ViewSeal{7}.Token(carom.NewOpenedViewID(1, 1))), 401, "", "not known"},
		{"a key that may only read", `{}`, bearer("all-read"), 403, "", "may not open views"},
		{"no app", `{"user": "u1"}`, bearer("all-events"), 400, "app", "missing"},
		{"an unknown app", `{"app": "gone", "user": "u1"}`, bearer("all-events"), 400, "app", "no app of that name"},
		{"the app of another key", `{"app": "game", "user": "u1"}`, bearer("quiz-events"), 400, "app", "no app of that name"},
		{"no user", `{}`, bearer("game-events"), 400, "user", "missing"},
		{"an empty body", ``, bearer("game-events"), 400, "user", "missing"},
		{"an empty user", `{"user": ""}`, bearer("game-events"), 400, "user", "missing"},
		{"a long user", `{"user": "` + long + `"}`, bearer("game-events"), 400, "user", "256 bytes"},
		{"a user that is half a character", `{"user": "\ud83d"}`, bearer("game-events"), 400, "user", "half of one"},
		{"a user that is a fraction", `{"user": 1.5}`, bearer("game-events"), 400, "user", "send a text"},
		{"a user that is an object", `{"user": {"id": 1}}`, bearer("game-events"), 400, "user", "send a text"},
		{"an empty ymid", `{"user": "u1", "ymid": ""}`, bearer("game-events"), 400, "ymid", "leave it out"},
		{"a long ymid", `{"user": "u1", "ymid": "` + long + `"}`, bearer("game-events"), 400, "ymid", "256 bytes"},
		{"a ymid with a line feed", `{"user": "u1", "ymid": "a\nb"}`, bearer("game-events"), 400, "ymid", "printed"},
		{"the ymid of another view", `{"user": "u1", "ymid": "` + carom.ViewSeal{7}.YMID(carom.NewOpenedViewID(1, 9)) + `"}`, bearer("game-events"), 400, "ymid", "another view"},
		{"a placement with a NUL", `{"user": "u1", "placement": "a\u0000"}`, bearer("game-events"), 400, "placement", "printed"},
		{"sources that are a text", `{"user": "u1", "sources": "monetag"}`, bearer("game-events"), 400, "sources", "list"},
		{"a source of another app", `{"user": "u1", "sources": ["monetag", "unity"]}`, bearer("game-events"), 400, "sources", `no source "unity"`},
		{"a source twice", `{"user": "u1", "sources": ["monetag", "monetag"]}`, bearer("game-events"), 400, "sources", "twice"},
		{"many sources", `{"user": "u1", "sources": ["monetag"` + strings.Repeat(`, "monetag"`, 32) + `]}`, bearer("game-events"), 400, "sources", "more than 32"},
		{"too short an expiry", `{"user": "u1", "expires_in": "9s"}`, bearer("game-events"), 400, "expires_in", "from 10s to 1d"},
		{"too long an expiry", `{"user": "u1", "expires_in": "25h"}`, bearer("game-events"), 400, "expires_in", "from 10s to 1d"},
		{"an expiry without a unit", `{"user": "u1", "expires_in": 600}`, bearer("game-events"), 400, "expires_in", "write it as 10m"},
		{"an unknown field", `{"user": "u1", "usr": 1}`, bearer("game-events"), 400, "usr", "no such field"},
		{"broken JSON", `{"user": `, bearer("game-events"), 400, "", "not valid JSON"},
		{"an array", `[]`, bearer("game-events"), 400, "", "not a JSON object"},
		{"two objects", `{"user": "u1"} {}`, bearer("game-events"), 400, "", "something follows"},
		{"bytes that are no text", "{\"user\": \"\xff\"}", bearer("game-events"), 400, "", "UTF-8"},
		{"a large body", `{"user": "` + strings.Repeat("x", MaxBodyBytes) + `"}`, bearer("game-events"), 413, "", "16 KiB"},
		{"a backend's request from a page that is not listed", `{"user": "u1"}`, append(bearer("game-events"), "Origin", "https://evil.example"), 403, "apps.game.origins", "objects file"},

		{"no init data", `{"app": "game"}`, tma(""), 401, "init_data", "empty"},
		{"forged init data", `{"app": "game"}`, tma(strings.Replace(fresh, "Vlad", "Evil", 1)), 401, "init_data.hash", "does not fit"},
		{"init data of another bot", `{"app": "game"}`, tma(signed("43:TEST", now, vlad)), 401, "init_data.hash", "does not fit"},
		{"init data for another app", `{"app": "quiz"}`, tma(fresh), 401, "init_data.signature", "missing"},
		{"stale init data", `{"app": "game"}`, tma(signed(gameBot, now.Add(-25*time.Hour), vlad)), 401, "init_data.auth_date", "open it again"},
		{"init data from the future", `{"app": "game"}`, tma(signed(gameBot, now.Add(time.Hour), vlad)), 401, "init_data.auth_date", "future"},
		{"init data without a user", `{"app": "game"}`, tma(signed(gameBot, now, "")), 401, "init_data.user", "names no user"},
		{"a browser that names no app", `{}`, tma(fresh), 400, "app", "missing"},
		{"a browser that names an unknown app", `{"app": "gone"}`, tma(fresh), 400, "app", "no app of that name"},
		{"an app without a bot", `{"app": "site"}`, tma(fresh), 403, "apps.site.telegram", "bot_token_file"},
		{"a browser that names the user", `{"app": "game", "user": "1"}`, tma(fresh), 400, "user", "init data says it"},
		{"a browser that names the user, spelt otherwise", `{"app": "game", "USER": "1"}`, tma(fresh), 400, "user", "init data says it"},
		{"a browser that chooses the ymid", `{"app": "game", "ymid": "1"}`, tma(fresh), 400, "ymid", "pass the one of the answer"},
		{"a browser's long expiry", `{"app": "game", "expires_in": "61m"}`, tma(fresh), 400, "expires_in", "from 10s to 1h"},
		{"a page that nobody lists", `{"app": "game"}`, append(tma(fresh), "Origin", "https://evil.example"), 403, "apps.game.origins", "objects file"},
		{"a page of another app", `{"app": "game"}`, append(tma(fresh), "Origin", "https://quiz.example"), 403, "apps.game.origins", "objects file"},
		{"a page by another scheme", `{"app": "game"}`, append(tma(fresh), "Origin", "http://game.example"), 403, "apps.game.origins", "objects file"},
		{"a page without an origin", `{"app": "game"}`, append(tma(fresh), "Origin", "null"), 403, "apps.game.origins", "objects file"},
	}
	r := newRig(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := r.must(t, "POST", "/v1/views", tt.body, tt.headers...)
			if a.status != tt.status || a.text("field") != tt.field || !strings.Contains(a.text("detail"), tt.says) {
				t.Errorf("answer %d %s, want %d at %q with %q", a.status, a.body, tt.status, tt.field, tt.says)
			}
			if a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v, want a problem that no cache keeps", a.header)
			}
			if challenged := a.header.Get("WWW-Authenticate") != ""; challenged != (tt.status == 401) {
				t.Errorf("headers %v of a %d", a.header, tt.status)
			}
			if tt.status == 403 && a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("the page that is refused may read the answer: %v", a.header)
			}
		})
	}
	if len(r.store.views) != 0 {
		t.Errorf("%d views were opened, want none", len(r.store.views))
	}
}

func TestOpenWhenTheStoreRefuses(t *testing.T) {
	r := newRig(t, nil)
	body := `{"user": "user-77", "ymid": "own-ymid"}`
	r.must(t, "POST", "/v1/views", body, bearer("game-events")...)
	if a := r.must(t, "POST", "/v1/views", body, bearer("game-events")...); a.status != http.StatusConflict || a.text("field") != "ymid" {
		t.Errorf("the same ymid again: %d %s, want 409 at ymid", a.status, a.body)
	}
	for _, fail := range []error{carom.ErrUnavailable, errors.New("broken")} {
		r.store.fail = fail
		a := r.must(t, "POST", "/v1/views", `{"user": "user-77"}`, bearer("game-events")...)
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "5" {
			t.Errorf("with the error %q: %d %v %s, want 503 with Retry-After", fail, a.status, a.header, a.body)
		}
	}
	r.client.CloseIdleConnections()
	for _, hidden := range []string{"user-77", "own-ymid", "game-events"} {
		if strings.Contains(r.log.String(), hidden) {
			t.Errorf("the log has %q:\n%s", hidden, r.log)
		}
	}
	if !strings.Contains(r.log.String(), "level=ERROR") || !strings.Contains(r.log.String(), "level=WARN") {
		t.Errorf("the log does not tell a fault that passes from one that does not:\n%s", r.log)
	}
}

func TestOpenBoundsBrowsers(t *testing.T) {
	r := newRig(t, nil)
	body := `{"app": "game"}`
	mine, other := tma(signed(gameBot, now, vlad)), tma(signed(gameBot, now, `{"id":5}`))
	for i := range openingsAhead {
		if a := r.must(t, "POST", "/v1/views", body, mine...); a.status != http.StatusCreated {
			t.Fatalf("opening %d: %d %s", i+1, a.status, a.body)
		}
	}
	a := r.must(t, "POST", "/v1/views", body, append(mine, "Origin", page)...)
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "2" || a.header.Get("Access-Control-Expose-Headers") != "Retry-After" {
		t.Errorf("one more: %d %v %s, want 429 whose Retry-After the page may read", a.status, a.header, a.body)
	}
	if a := r.must(t, "POST", "/v1/views", body, other...); a.status != http.StatusCreated {
		t.Errorf("another user: %d %s, want 201", a.status, a.body)
	}
	if a := r.must(t, "POST", "/v1/views", `{"user": "279058397"}`, bearer("game-events")...); a.status != http.StatusCreated {
		t.Errorf("the backend, for the same user: %d %s, want 201", a.status, a.body)
	}
	if got, want := r.counted(t, "carom_views_opened_total"), []float64{1, openingsAhead + 1}; !cmp.Equal(got, want) {
		t.Errorf("counted %v views of backends and browsers, want %v", got, want)
	}
}

// counted returns the values of a metric, sorted by label.
func (r *rig) counted(t *testing.T, name string) []float64 {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var values []float64
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				values = append(values, m.GetCounter().GetValue()+m.GetGauge().GetValue())
			}
		}
	}
	return values
}

func TestPreflight(t *testing.T) {
	r := newRig(t, nil)
	for _, path := range []string{"/v1/views", "/v1/views/vw_1"} {
		a := r.must(t, "OPTIONS", path, "", "Origin", "https://quiz.example", "Access-Control-Request-Method", "POST")
		want := http.Header{
			"Access-Control-Allow-Origin": {"https://quiz.example"}, "Access-Control-Allow-Methods": {"GET, POST"},
			"Access-Control-Allow-Headers": {"authorization, content-type"}, "Access-Control-Max-Age": {"600"},
			"Access-Control-Expose-Headers": {"Retry-After"}, "Cache-Control": {"no-store"}, "Vary": {"Origin"},
		}
		if diff := cmp.Diff(want, a.header); diff != "" || a.status != http.StatusNoContent {
			t.Errorf("%s: %d, headers (-want +got):\n%s", path, a.status, diff)
		}
		for _, origin := range []string{"https://evil.example", "null", "https://quiz.example:8443"} {
			a := r.must(t, "OPTIONS", path, "", "Origin", origin, "Access-Control-Request-Method", "POST")
			if a.status != http.StatusForbidden || a.header.Get("Access-Control-Allow-Origin") != "" || a.text("field") != "origins" {
				t.Errorf("%s from %s: %d %v %s, want 403", path, origin, a.status, a.header, a.body)
			}
		}
	}
}

func TestUseReportsABotThatCannotBe(t *testing.T) {
	r := newDoor(nil)
	r.Use(carom.Objects{Apps: []carom.App{{Name: "game", BotToken: "no-token-at-all"}}})
	if log := r.log.String(); !strings.Contains(log, "app=game") || strings.Contains(log, "no-token-at-all") {
		t.Errorf("the log %q, want one that names the app and not the token", log)
	}
}

func TestOpenings(t *testing.T) {
	t.Run("30 at once, then one every two seconds", func(t *testing.T) {
		var o openings
		for i := range openingsAhead {
			if again := o.take("a", "u", now); again != 0 {
				t.Fatalf("opening %d is refused for %v", i+1, again)
			}
		}
		for _, step := range []struct {
			after, want time.Duration
		}{{0, 2 * time.Second}, {500 * time.Millisecond, 1500 * time.Millisecond}, {2 * time.Second, 0}, {2 * time.Second, 2 * time.Second}, {-time.Hour, 2 * time.Second}} {
			if again := o.take("a", "u", now.Add(step.after)); again != step.want {
				t.Errorf("after %v: come again in %v, want %v", step.after, again, step.want)
			}
		}
	})
	t.Run("memory is bounded", func(t *testing.T) {
		var o openings
		for i := range maxOpeners {
			o.take("a", strconv.Itoa(i), now)
		}
		if again := o.take("c", "new", now); again == 0 || len(o.whole) > maxOpeners {
			t.Errorf("one more user among %d: come again in %v, want later", len(o.whole), again)
		}
		if again := o.take("c", "new", now.Add(openingEvery)); again != 0 || len(o.whole) != 1 {
			t.Errorf("when all are forgotten: come again in %v, %d are kept; want at once, 1", again, len(o.whole))
		}
	})
}
