package telegram

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"carom"

	"github.com/google/go-cmp/cmp"
)

const (
	testToken = "42:TEST"
	testBotID = 42
	authDate  = 1750000000
)

// at is the moment at which the tests' data is made.
var at = time.Unix(authDate, 0).UTC()

// privateKey is made from a fixed seed, so that failures repeat.
func privateKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

// lines writes fields as proofs cover them. It is written apart from checkString, to be a second opinion.
func lines(fields url.Values, without ...string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(without, name) {
			all = append(all, name+"="+fields.Get(name))
		}
	}
	return strings.Join(all, "\n")
}

// sign adds to fields the hash that Telegram would give them.
func sign(fields url.Values, token string) string {
	secret := hmac.New(sha256.New, []byte("WebAppData"))
	secret.Write([]byte(token))
	mac := hmac.New(sha256.New, secret.Sum(nil))
	mac.Write([]byte(lines(fields, "hash")))
	return fields.Encode() + "&hash=" + hex.EncodeToString(mac.Sum(nil))
}

// signThirdParty adds to fields the signature that Telegram would give them, with another key.
func signThirdParty(fields url.Values, botID int64) string {
	text := strconv.FormatInt(botID, 10) + ":WebAppData\n" + lines(fields, "hash", "signature")
	return fields.Encode() + "&signature=" + base64.RawURLEncoding.EncodeToString(ed25519.Sign(privateKey(), []byte(text)))
}

// genuine returns the fields of a usual opening; each pair of with is set over them.
func genuine(with ...string) url.Values {
	fields := url.Values{
		"auth_date": {strconv.Itoa(authDate)}, "query_id": {"AAHdF6IQ"}, "chat_instance": {"-8134722200314281151"}, "start_param": {"ref_1"},
		"user": {`{"id":279058397,"first_name":"Влад + & = %","language_code":"ru","is_premium":true}`},
	}
	for i := 0; i < len(with); i += 2 {
		fields.Set(with[i], with[i+1])
	}
	return fields
}

func byToken(t testing.TB, token string) *Verifier {
	t.Helper()
	v, err := BotToken(token)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func byKey(t testing.TB, botID int64, key ed25519.PublicKey) *Verifier {
	t.Helper()
	v, err := ThirdParty(botID, key)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// both returns a Verifier of each scheme with the function that makes data for it.
func both(t testing.TB) map[string]scheme {
	return map[string]scheme{
		"bot token":   {byToken(t, testToken), func(f url.Values) string { return sign(f, testToken) }},
		"third party": {byKey(t, testBotID, privateKey().Public().(ed25519.PublicKey)), func(f url.Values) string { return signThirdParty(f, testBotID) }},
	}
}

type scheme struct {
	*Verifier
	sign func(url.Values) string
}

// reasonOf returns the reason of a refusal, "" for none. It checks the promises that hold for every refusal.
func reasonOf(t testing.TB, err error) Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	var refusal *Error
	var fault *carom.FieldError
	if !errors.As(err, &refusal) || !errors.As(err, &fault) || !errors.Is(err, carom.ErrInvalid) {
		t.Fatalf("the error %v is no *Error with a fault", err)
	}
	if !strings.HasPrefix(fault.Field, "init_data") || !strings.Contains(fault.Message, ": ") {
		t.Errorf("the error %q does not name the field and the fix", err)
	}
	return refusal.Reason
}

func TestVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			ID, Scheme string
			Input      struct {
				BotToken  string `json:"bot_token"`
				BotID     int64  `json:"bot_id"`
				PublicKey string `json:"public_key_hex"`
				InitData  string `json:"init_data"`
				Now       int64
				MaxAge    int64 `json:"max_age_s"`
			}
			Expect struct {
				Valid  bool
				Reason string
			}
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	reasons := map[string]Reason{
		"missing_auth_date": Malformed, "missing_signature": Forged, "format": Malformed, "bad_signature": Forged, "expired": Expired,
	}
	for _, v := range file.Vectors {
		t.Run(v.ID, func(t *testing.T) {
			var verifier *Verifier
			if v.Scheme == "telegram-initdata-hmac" {
				verifier = byToken(t, v.Input.BotToken)
			} else {
				key, err := hex.DecodeString(v.Input.PublicKey)
				if err != nil {
					t.Fatal(err)
				}
				verifier = byKey(t, v.Input.BotID, key)
			}
			now := time.Unix(v.Input.Now, 0)
			if v.Input.Now == 0 {
				fields, _ := url.ParseQuery(v.Input.InitData)
				made, _ := strconv.ParseInt(fields.Get("auth_date"), 10, 64)
				now = time.Unix(made, 0)
			}
			_, err := verifier.Verify(v.Input.InitData, now, time.Duration(v.Input.MaxAge)*time.Second)
			got, want := reasonOf(t, err), reasons[v.Expect.Reason]
			if v.ID == "tg-aiogram-non-ascii-hash" && got == Malformed {
				return // it has no auth_date either, so the vector allows both
			}
			if (err == nil) != v.Expect.Valid || got != want {
				t.Errorf("Verify = %v, want valid %v, reason %q", err, v.Expect.Valid, want)
			}
			if v.Input.MaxAge > 0 && got == Expired { // the hash of such a vector is genuine: a larger maximum accepts it
				if _, err := verifier.Verify(v.Input.InitData, now, now.Sub(time.Unix(0, 0))); err != nil {
					t.Errorf("Verify with a large maximum: %v", err)
				}
			}
		})
	}
}

// TestProductionKey uses data that Telegram signed for a third party, as the tests of
// Telegram-Mini-Apps/init-data-golang publish it (validate_third_party_test.go).
func TestProductionKey(t *testing.T) {
	const data = "user=%7B%22id%22%3A279058397%2C%22first_name%22%3A%22Vladislav%20%2B%20-%20%3F%20%5C%2F%22%2C%22last_name%22%3A%22Kibenko%22%2C" +
		"%22username%22%3A%22vdkfrost%22%2C%22language_code%22%3A%22ru%22%2C%22is_premium%22%3Atrue%2C%22allows_write_to_pm%22%3Atrue%2C" +
		"%22photo_url%22%3A%22https%3A%5C%2F%5C%2Ft.me%5C%2Fi%5C%2Fuserpic%5C%2F320%5C%2F4FPEE4tmP3ATHa57u6MqTDih13LTOiMoKoLDRG4PnSA.svg%22%7D" +
		"&chat_instance=8134722200314281151&chat_type=private&auth_date=1733584787" +
		"&hash=2174df5b000556d044f3f020384e879c8efcab55ddea2ced4eb752e93e7080d6" +
		"&signature=zL-ucjNyREiHDE8aihFwpfR9aggP2xiAo3NSpfe-p7IbCisNlDKlo7Kb6G4D0Ao2mBrSgEk4maLSdv6MLIlADQ"
	now := time.Unix(1733584787, 0)
	got, err := byKey(t, 7342037359, ProductionKey()).Verify(data, now, time.Hour)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	want := InitData{UserID: "279058397", Language: "ru", Premium: true, ChatInstance: "8134722200314281151", AuthDate: now.UTC()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Verify (-want +got):\n%s", diff)
	}
	for name, v := range map[string]*Verifier{
		"another bot": byKey(t, 7342037358, ProductionKey()), "the test key": byKey(t, 7342037359, TestKey()),
	} {
		if _, err := v.Verify(data, now, time.Hour); reasonOf(t, err) != Forged {
			t.Errorf("%s: Verify = %v, want %q", name, err, Forged)
		}
	}
	if got := hex.EncodeToString(TestKey()); got != "40055058a4ee38156a06562e52eece92a771bcd8346a8c4615cb7376eddf72ec" {
		t.Errorf("TestKey = %s", got)
	}
}

func TestWhatIsRead(t *testing.T) {
	full := InitData{
		UserID: "279058397", Language: "ru", Premium: true, StartParam: "ref_1", QueryID: "AAHdF6IQ",
		ChatInstance: "-8134722200314281151", AuthDate: at,
	}
	tests := []struct {
		name   string
		fields url.Values
		want   func(*InitData)
	}{
		{"everything", genuine(), func(*InitData) {}},
		{"an id beyond 2^53", genuine("user", `{"id":9007199254740993}`),
			func(d *InitData) { d.UserID, d.Language, d.Premium = "9007199254740993", "", false }},
		{"an id beyond 2^63", genuine("user", ` {"first_name":"\n\u0000", "id" : 18446744073709551615 } `),
			func(d *InitData) { d.UserID, d.Language, d.Premium = "18446744073709551615", "", false }},
		{"fields that nobody knows yet", genuine("chat-Type_2", "x\u2028\x7f🙂"), func(*InitData) {}},
		{"little", url.Values{"auth_date": {"1750000000"}}, func(d *InitData) { *d = InitData{AuthDate: at} }},
	}
	for _, tt := range tests {
		for name, s := range both(t) {
			t.Run(tt.name+" by "+name, func(t *testing.T) {
				want := full
				tt.want(&want)
				got, err := s.Verify(s.sign(tt.fields), at, time.Hour)
				if err != nil {
					t.Fatalf("Verify: %v", err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("Verify (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestRefusesWhatIsProvenButNotOfTelegramsForm(t *testing.T) {
	tests := []struct{ field, value string }{
		{"auth_date", ""}, {"auth_date", "soon"}, {"auth_date", "-1750000000"}, {"auth_date", "+1750000000"},
		{"auth_date", "1750000000.5"}, {"auth_date", "1750000000000"}, {"auth_date", "99999999999999999999"},
		{"user", ""}, {"user", "null"}, {"user", "279058397"}, {"user", "{"}, {"user", "{}"}, {"user", `{"id":null}`},
		{"user", `{"id":"279058397"}`}, {"user", `{"id":0}`}, {"user", `{"id":-5}`}, {"user", `{"id":1.5}`}, {"user", `{"id":1e9}`},
		{"user", `{"id":[1]}`}, {"user", `{"id":184467440737095516150}`}, {"user", `{"id":1,"language_code":7}`},
		{"user", `[{"id":1}]`}, {"user", `{"id":1} {"id":2}`},
	}
	for _, tt := range tests {
		for name, s := range both(t) {
			got, err := s.Verify(s.sign(genuine(tt.field, tt.value)), at, time.Hour)
			var fault *carom.FieldError
			if reasonOf(t, err) != Malformed || !errors.As(err, &fault) || fault.Field != "init_data."+tt.field {
				t.Errorf("%s: Verify with %s=%s: %v, want %q at that field", name, tt.field, tt.value, err, Malformed)
			}
			if got != (InitData{}) {
				t.Errorf("%s: Verify with %s=%s gives %+v beside the error", name, tt.field, tt.value, got)
			}
		}
	}
}

func TestMalformed(t *testing.T) {
	for name, s := range both(t) {
		good := s.sign(genuine())
		for what, data := range map[string]string{
			"empty":                     "",
			"oversize":                  s.sign(genuine("start_param", strings.Repeat("a", MaxBytes))),
			"repeated field":            good + "&query_id=canary",
			"repeated with its value":   good + "&query_id=AAHdF6IQ",
			"repeated proof":            good + "&" + s.proof + "=canary",
			"no equals sign":            good + "&canary",
			"no name":                   good + "&=canary",
			"name with a percent sign":  good + "&%63anary=1",
			"name with a line feed":     good + "&canary\n=1",
			"empty pair":                strings.Replace(good, "&", "&&", 1),
			"ampersand at the end":      good + "&",
			"half a percent sign":       good + "&a=canary%2",
			"percent sign without hex":  good + "&a=canary%zz",
			"not UTF-8":                 good + "&a=canary%ff",
			"a line feed":               good + "&a=canary%0A",
			"a nul":                     good + "&a=canary%00",
			"fields joined by one":      s.sign(genuine("chat_instance", "1\nquery_id=canary")),
			"no auth_date":              s.sign(url.Values{"user": {`{"id":1}`}}),
			"semicolons for ampersands": strings.ReplaceAll(good, "&", ";")[strings.Index(good, "="):],
		} {
			_, err := s.Verify(data, at, time.Hour)
			if reasonOf(t, err) != Malformed {
				t.Errorf("%s, %s: Verify = %v, want %q", name, what, err, Malformed)
			}
			if err != nil && strings.Contains(err.Error(), "anary") {
				t.Errorf("%s, %s: the error %q holds a part of the data", name, what, err)
			}
		}
	}
}

func TestForged(t *testing.T) {
	for name, s := range both(t) {
		good := s.sign(genuine())
		fields, proof, _ := strings.Cut(good, "&"+s.proof+"=")
		other := s.sign(genuine("query_id", "another"))
		for what, data := range map[string]string{
			"no proof":            fields,
			"empty proof":         fields + "&" + s.proof + "=",
			"proof of other data": fields + other[strings.LastIndex(other, "&"):],
			"cut proof":           good[:len(good)-2],
			"longer proof":        good + "aa",
			"odd proof":           good + "a",
			"padded proof":        good + "%3D%3D",
			"proof with a space":  good + "+",
			"proof of letters":    fields + "&" + s.proof + "=" + strings.Repeat("%C3%A9", len(proof)/2),
			"user changed":        strings.Replace(good, "279058397", "279058398", 1),
			"date changed":        strings.Replace(good, "1750000000", "1750000001", 1),
			"field left out":      strings.Replace(good, "&query_id=AAHdF6IQ", "", 1),
			"field added":         good + "&added=1",
			"field renamed":       strings.Replace(good, "start_param", "start_para", 1),
			"plus for a space":    strings.ReplaceAll(good, "+", "%2B"),
		} {
			_, err := s.Verify(data, at, time.Hour)
			if reasonOf(t, err) != Forged {
				t.Errorf("%s, %s: Verify = %v, want %q", name, what, err, Forged)
			}
			if err != nil && (strings.Contains(err.Error(), proof) || strings.Contains(err.Error(), "27905839")) {
				t.Errorf("%s, %s: the error %q holds a part of the data", name, what, err)
			}
		}
		// What changes no field proves the same: another order, another way of encoding.
		pairs := strings.Split(good, "&")
		slices.Reverse(pairs)
		for what, data := range map[string]string{
			"another order": strings.Join(pairs, "&"), "spaces as %20": strings.ReplaceAll(good, "+", "%20"),
		} {
			if _, err := s.Verify(data, at, time.Hour); err != nil {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
}

func TestKeysOfOthers(t *testing.T) {
	data := sign(genuine(), "42:OTHER")
	for name, v := range map[string]*Verifier{"another token": byToken(t, testToken), "no token": {}} {
		if _, err := v.Verify(data, at, time.Hour); reasonOf(t, err) != Forged {
			t.Errorf("%s: Verify = %v, want %q", name, err, Forged)
		}
	}
	// Each scheme leaves out of its text what the other proves with, as Telegram says.
	token, third := both(t)["bot token"], both(t)["third party"]
	if _, err := token.Verify(token.sign(genuine("signature", "AAAA")), at, time.Hour); err != nil {
		t.Errorf("hash over a signature: %v", err)
	}
	if _, err := token.Verify(strings.Replace(token.sign(genuine("signature", "AAAA")), "AAAA", "AAAB", 1), at, time.Hour); reasonOf(t, err) != Forged {
		t.Errorf("hash over another signature: %v, want %q", err, Forged)
	}
	if _, err := third.Verify(third.sign(genuine())+"&hash=123", at, time.Hour); err != nil {
		t.Errorf("signature beside a hash: %v", err)
	}
}

func TestAge(t *testing.T) {
	tests := []struct {
		name   string
		after  time.Duration // of now after auth_date
		maxAge time.Duration
		want   Reason
	}{
		{"now", 0, time.Hour, ""},
		{"as old as allowed", time.Hour, time.Hour, ""},
		{"older", time.Hour + 1, time.Hour, Expired},
		{"as old as the default", DefaultMaxAge, 0, ""},
		{"older than the default", DefaultMaxAge + 1, 0, Expired},
		{"negative maximum", DefaultMaxAge + 1, -time.Hour, Expired},
		{"clocks differ", -time.Minute, time.Hour, ""},
		{"in the future", -time.Minute - 1, time.Hour, Future},
		{"far in the future", -292 * 365 * 24 * time.Hour, time.Hour, Future},
	}
	for _, tt := range tests {
		for name, s := range both(t) {
			t.Run(tt.name+" by "+name, func(t *testing.T) {
				_, err := s.Verify(s.sign(genuine()), at.Add(tt.after), tt.maxAge)
				if got := reasonOf(t, err); got != tt.want {
					t.Errorf("Verify %v after auth_date, maximum %v: %v, want reason %q", tt.after, tt.maxAge, err, tt.want)
				}
			})
		}
	}
}

func TestUnusableKeys(t *testing.T) {
	for _, token := range []string{"", ":", "42", "42:", ":TEST", "bot:TEST", " 42:TEST", "42:TEST\n", "42:TE ST", "4:2:TEST"} {
		v, err := BotToken(token)
		if v != nil || !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("BotToken(%q) = %v, %v; want %v", token, v, err, carom.ErrInvalid)
		}
		if err != nil && strings.Contains(err.Error(), "TEST") {
			t.Errorf("the error %q holds the token", err)
		}
	}
	for _, tt := range []struct {
		botID int64
		key   ed25519.PublicKey
	}{{0, ProductionKey()}, {-42, ProductionKey()}, {42, nil}, {42, ProductionKey()[:31]}, {42, append(ProductionKey(), 0)}} {
		if v, err := ThirdParty(tt.botID, tt.key); v != nil || !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("ThirdParty(%d, %x) = %v, %v; want %v", tt.botID, tt.key, v, err, carom.ErrInvalid)
		}
	}
	key := privateKey().Public().(ed25519.PublicKey)
	v := byKey(t, testBotID, key)
	clear(key)
	if _, err := v.Verify(signThirdParty(genuine(), testBotID), at, time.Hour); err != nil {
		t.Errorf("Verify after the caller changed its key: %v", err)
	}
}

// FuzzVerify checks that no data passes without a proof, that proven data is never called forged, and that nothing of
// it gets into an error.
func FuzzVerify(f *testing.F) {
	f.Add("")
	f.Add("auth_date=1750000000&user=%7B%22id%22%3A42%7D")
	f.Add("auth_date=1750000000&auth_date=1")
	f.Add("auth_date=1750000000&a=%0Ab%3D1&hash=00&signature=AA")
	f.Add(genuine().Encode())
	f.Add(sign(genuine(), "42:OTHER"))
	schemes := both(f)
	f.Fuzz(func(t *testing.T, data string) {
		for name, s := range schemes {
			if _, err := s.Verify(data, at, time.Hour); err == nil {
				t.Errorf("%s: Verify accepts %q", name, data)
			}
			fields, err := url.ParseQuery(data)
			if err != nil {
				continue
			}
			fields.Del(s.proof)
			got, err := s.Verify(s.sign(fields), at, time.Hour)
			if reason := reasonOf(t, err); reason == Forged || err != nil && got != (InitData{}) {
				t.Errorf("%s: Verify of signed %q = %+v, %v", name, data, got, err)
			}
			for _, values := range fields {
				if err != nil && len(values[0]) > 12 && strings.Contains(err.Error(), values[0]) {
					t.Errorf("%s: the error %q holds a part of %q", name, err, data)
				}
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for name, s := range both(b) {
		data := s.sign(genuine())
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Verify(data, at, time.Hour); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
