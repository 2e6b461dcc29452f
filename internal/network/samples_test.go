package network

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// sample is a small genuine postback of a network, and how the network signs it. The signing here is written from the
// networks' rules with nothing of the package, so that the two check each other.
type sample struct {
	params [][2]string      // in the order in which they are sent, without the signature
	body   string           // of a POST, instead of params
	sign   func(s *signing) // nil: the network does not sign
	tells  string           // the event, see tell
}

// signing is a request while the network signs it.
type signing struct {
	t      testing.TB
	secret string
	base   string // address and path that the network calls
	query  string
	values url.Values
	header http.Header
	body   string
	key    *ecdsa.PrivateKey
}

func (s *signing) add(name, value string) { s.query += "&" + name + "=" + value }

// of joins the values of the parameters, with "$" for the secret and anything that begins with a quote as it is.
func (s *signing) of(names ...string) string {
	text := ""
	for _, name := range names {
		switch literal, quoted := strings.CutPrefix(name, "'"); {
		case quoted:
			text += literal
		case name == "$":
			text += s.secret
		default:
			text += s.values.Get(name)
		}
	}
	return text
}

func md5hex(text string) string  { sum := md5.Sum([]byte(text)); return hex.EncodeToString(sum[:]) }
func sha1hex(text string) string { sum := sha1.Sum([]byte(text)); return hex.EncodeToString(sum[:]) }
func sha256hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// samples has one of each profile, the shipped ones and those of testdata/profiles.
func samples() map[string]sample {
	return map[string]sample{
		"monetag": {params: [][2]string{{"ymid", "view-1"}, {"zone_id", "8790478"}, {"event_type", "impression"}, {"reward_event_type", "valued"}, {"estimated_price", "0.0023"}},
			tells: "impression ymid=view-1 price=0.0023"},
		"adsgram": {params: [][2]string{{"userid", "4242424242"}}, tells: "completion telegram=4242424242"},
		"tads":    {params: [][2]string{{"telegram_id", "4242424242"}, {"widget_id", "77"}}, tells: "completion telegram=4242424242"},
		"adgate": {params: [][2]string{{"conversion_id", "4d63afe33875ceeec17d"}, {"user_id", "u1"}, {"point_value", "250"}, {"usd_value", "0.75"}, {"offer_title", "A game"}, {"state", "approved"}},
			tells: "completion user=u1 tx=4d63afe33875ceeec17d amount=250 item=A game price=0.75"},
		"monlix": {params: [][2]string{{"userId", "54x3857"}, {"transactionId", "45020ab387c4fc00"}, {"rewardValue", "3400"}, {"payout", "1.20"}, {"status", "1"}, {"subId", "view-1"}, {"secretKey", sampleSecret}},
			tells: "completion ymid=view-1 user=54x3857 tx=45020ab387c4fc00 amount=3400 price=1.2"},
		"chartboost": {params: [][2]string{{"custom_id", "view-1"}, {"award_amount", "5"}, {"currency_name", "coins"}}, tells: "completion ymid=view-1 amount=5 item=coins"},
		"admob": {params: [][2]string{{"ad_network", "5450213213286189855"}, {"ad_unit", "2747237135"}, {"custom_data", "view-1"}, {"reward_amount", "1"}, {"reward_item", "Key Doubler"},
			{"timestamp", "1762052645000"}, {"transaction_id", "18fa792de1bca816048293fc71035638"}, {"user_id", "u1"}},
			sign:  signADMob,
			tells: "completion ymid=view-1 user=u1 tx=18fa792de1bca816048293fc71035638 amount=1 item=Key Doubler"},
		"unityads": {params: [][2]string{{"productid", "1234"}, {"sid", "view-1"}, {"oid", "0987654321"}}, sign: func(s *signing) {
			pairs := strings.Split(s.query, "&")
			slices.Sort(pairs)
			mac := hmac.New(md5.New, []byte(s.secret))
			mac.Write([]byte(strings.Join(pairs, ","))) // nothing in the sample is encoded
			s.add("hmac", hex.EncodeToString(mac.Sum(nil)))
		}, tells: "completion ymid=view-1 tx=0987654321"},
		"applovin": {params: [][2]string{{"event_id", "14a97273742c0c9e8864fe40193dad5506e930bc"}, {"user_id", "u1"}, {"custom_data", "view-1"}, {"amount", "10"}, {"currency", "coins"}},
			sign:  func(s *signing) { s.add("event_token", sha1hex(s.of("event_id", "$"))) },
			tells: "completion ymid=view-1 user=u1 tx=14a97273742c0c9e8864fe40193dad5506e930bc amount=10 item=coins"},
		"bitlabs": {params: [][2]string{{"uid", "u1"}, {"val", "500"}, {"raw", "0.50"}, {"tx", "t-9"}, {"type", "COMPLETE"}}, sign: func(s *signing) {
			mac := hmac.New(sha1.New, []byte(s.secret))
			mac.Write([]byte(s.base + "?" + s.query))
			s.add("hash", hex.EncodeToString(mac.Sum(nil)))
		}, tells: "completion user=u1 tx=t-9 amount=500 price=0.5"},
		"ayet": {params: [][2]string{{"transaction_id", "8ee08f32ae61"}, {"user_id", "u1"}, {"amount", "10"}, {"payout", "1.50"}, {"offer_name", "A ~game"}, {"is_chargeback", "0"}}, sign: func(s *signing) {
			mac := hmac.New(sha256.New, []byte(s.secret))
			mac.Write([]byte(strings.ReplaceAll(s.values.Encode(), "~", "%7E"))) // sorted; PHP encodes the tilde as well
			s.header.Set("X-Ayetstudios-Security-Hash", hex.EncodeToString(mac.Sum(nil)))
		}, tells: "completion user=u1 tx=8ee08f32ae61 amount=10 item=A ~game price=1.5"},
		"zjsdk": {params: [][2]string{{"pid", "77"}, {"transid", "t-9"}, {"userid", "u1"}, {"extrainfo", "view-1"}},
			sign: func(s *signing) { s.add("sign", sha256hex(s.of("transid", "$"))) }, tells: "completion ymid=view-1 user=u1 tx=t-9"},
		"levelplay": {params: [][2]string{{"appUserId", "user123"}, {"rewards", "10"}, {"eventId", "e-1001"}, {"itemName", "coins"}, {"timestamp", "202601021530"}},
			sign: func(s *signing) {
				s.add("signature", md5hex(s.of("timestamp", "eventId", "appUserId", "rewards", "$")))
			}, tells: "completion user=user123 tx=e-1001 amount=10 item=coins"},
		"tapjoy": {params: [][2]string{{"snuid", "u1"}, {"currency", "25"}, {"mac_address", ""}, {"id", "t-9"}},
			sign: func(s *signing) { s.add("verifier", md5hex(s.of("id", "':", "snuid", "':", "currency", "':", "$"))) }, tells: "completion user=u1 tx=t-9 amount=25"},
		"fyber": {params: [][2]string{{"uid", "u1"}, {"amount", "20"}, {"_trans_id_", "t-9"}, {"pub0", "view-1"}, {"currency_name", "coins"}},
			sign: func(s *signing) { s.add("sid", sha1hex(s.of("$", "uid", "amount", "_trans_id_", "pub0"))) }, tells: "completion ymid=view-1 user=u1 tx=t-9 amount=20 item=coins"},
		"pangle": {params: [][2]string{{"user_id", "u1"}, {"trans_id", "6FEB23ACB0374985A2A52D282EDD5361u6643"}, {"reward_name", "coins"}, {"reward_amount", "10"}, {"extra", "view-1"}},
			sign: func(s *signing) { s.add("sign", sha256hex(s.of("$", "':", "trans_id"))) }, tells: "completion ymid=view-1 user=u1 tx=6FEB23ACB0374985A2A52D282EDD5361u6643 amount=10 item=coins"},
		"lootably": {params: [][2]string{{"userID", "u1"}, {"transactionID", "t-9"}, {"ip", "203.0.113.7"}, {"revenue", "0.75"}, {"currencyReward", "750"}, {"status", "1"}},
			sign: func(s *signing) { s.add("hash", sha256hex(s.of("userID", "ip", "revenue", "currencyReward", "$"))) }, tells: "completion user=u1 tx=t-9 amount=750 price=0.75"},
		"adjoe": {params: [][2]string{{"trans_uuid", "t-9"}, {"user_uuid", "u1"}, {"currency", "coins"}, {"coin_amount", "20"}, {"device_id", "d1"}, {"sdk_app_id", "app1"}},
			sign: func(s *signing) {
				s.add("sid", sha1hex(s.of("trans_uuid", "user_uuid", "currency", "coin_amount", "device_id", "sdk_app_id", "$")))
			}, tells: "completion user=u1 tx=t-9 amount=20 item=coins"},
		"pubscale": {params: [][2]string{{"user_id", "u1"}, {"value", "100.1234"}, {"token", "t-9"}},
			sign: func(s *signing) {
				whole, _, _ := strings.Cut(s.values.Get("value"), ".")
				s.add("signature", md5hex(s.of("$", "'.", "user_id", "'."+whole+".", "token")))
			}, tells: "completion user=u1 tx=t-9 amount=100"},
		"cpawild": {params: [][2]string{{"userid", "23"}, {"idtrans", "tx1"}, {"reward", "5"}, {"name", "A game"}},
			sign: func(s *signing) { s.add("signature", md5hex(s.of("$", "idtrans", "userid", "reward"))) }, tells: "completion user=23 tx=tx1 amount=5 item=A game"},
		"subid": {params: [][2]string{{"subId", "u1"}, {"transId", "t-9"}, {"reward", "20"}, {"payout", "0.20"}, {"status", "1"}},
			sign: func(s *signing) { s.add("signature", md5hex(s.of("subId", "transId", "reward", "$"))) }, tells: "completion user=u1 tx=t-9 amount=20 price=0.2"},
		"standardwebhooks": {body: `{"type":"completion","timestamp":"2026-11-02T03:04:05Z","data":{"ymid":"view-1","user_id":"u1","reward_event_type":"valued","reward_amount":10}}`,
			sign: signStandard, tells: "completion ymid=view-1 user=u1 tx=msg_1 amount=10"},

		"vungle": {params: [][2]string{{"uid", "u1"}, {"txid", "0123456789"}}, sign: func(s *signing) {
			inner := sha256.Sum256([]byte(s.of("$", "':", "txid")))
			s.add("digest", sha256hex(string(inner[:])))
		}, tells: "completion user=u1 tx=0123456789"},
		"adcolony": {params: [][2]string{{"id", "0123456789"}, {"uid", "u1"}, {"amount", "1"}, {"currency", "coins"}, {"custom_id", "view-1"}},
			sign: func(s *signing) { s.add("verifier", md5hex(s.of("id", "uid", "amount", "currency", "$", "custom_id"))) }, tells: "completion ymid=view-1 user=u1 tx=0123456789 amount=1 item=coins"},
		"mopub": {params: [][2]string{{"customer", "view-1"}, {"id", "t-9"}, {"amount", "10"}, {"currency", "coins"}}, sign: func(s *signing) {
			mac := hmac.New(sha256.New, []byte(s.secret))
			mac.Write([]byte(s.of("amount", "currency", "customer", "id"))) // in the order of their names
			s.add("hash", hex.EncodeToString(mac.Sum(nil)))
		}, tells: "completion ymid=view-1 tx=t-9 amount=10 item=coins"},
		"cpx": {params: [][2]string{{"status", "1"}, {"trans_id", "12345678"}, {"user_id", "u1"}, {"amount_local", "10"}, {"amount_usd", "0.10"}},
			sign: func(s *signing) { s.add("hash", md5hex(s.of("trans_id", "'-", "$"))) }, tells: "completion user=u1 tx=12345678 amount=10 price=0.1"},
		"botads": {body: `{"event":"rewarded","user_tg_id":4242424242,"event_id":"t-9"}`, sign: func(s *signing) {
			mac := hmac.New(sha256.New, []byte(s.secret))
			mac.Write([]byte(s.body))
			s.header.Set("X-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		}, tells: "completion telegram=4242424242 tx=t-9"},
		"adiscope": {params: [][2]string{{"user", "u1"}, {"unit", "coins"}, {"amount", "10"}, {"tx", "t-9"}}, sign: func(s *signing) {
			mac := hmac.New(md5.New, []byte(s.secret))
			mac.Write([]byte(s.of("user", "unit", "amount", "tx")))
			s.add("sig", hex.EncodeToString(mac.Sum(nil)))
		}, tells: "completion user=u1 tx=t-9 amount=10 item=coins"},
		"yungpoints": {params: [][2]string{{"payout", "0.10"}, {"currency", "10"}, {"tracking_id", "u1"}}, tells: "completion user=u1 amount=10 price=0.1"},
	}
}

func signADMob(s *signing) {
	decoded, err := url.PathUnescape(s.query)
	if err != nil {
		s.t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(decoded))
	signature, err := ecdsa.SignASN1(rand.Reader, s.key, sum[:])
	if err != nil {
		s.t.Fatal(err)
	}
	s.add("signature", base64.RawURLEncoding.EncodeToString(signature))
	s.add("key_id", sampleKeyID)
}

func signStandard(s *signing) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.secret, "whsec_"))
	if err != nil {
		s.t.Fatal(err)
	}
	const id, timestamp = "msg_1", "1793588645" // 2026-11-02T03:04:05Z
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "." + s.body))
	s.header.Set("Webhook-Id", id)
	s.header.Set("Webhook-Timestamp", timestamp)
	s.header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

const (
	sampleSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherSecret  = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	sampleKeyID  = "3335741209"
	sampleURL    = "https://postbacks.example.com"
)

// rig is a profile bound to a source, with a way to make requests that its network would send.
type rig struct {
	t      testing.TB
	p      *Profile
	b      *Binding
	sample sample
	path   string
	key    *ecdsa.PrivateKey
	keys   keyList
}

func newRig(t testing.TB, p *Profile) *rig {
	t.Helper()
	s, ok := samples()[p.Name]
	if !ok {
		t.Fatalf("the profile %s has no sample in samples_test.go: add one", p.Name)
	}
	source := sourceOf(p, sampleSecret)
	path := "/in/game/main"
	if p.WantsPathSecret() {
		path += "/" + testSecret
	}
	if p.Strength == "address" {
		source.RequireAddress, source.Addresses = true, sampleAddresses
	}
	b, err := p.Bind(source, nil, nil, sampleURL)
	if err != nil {
		t.Fatalf("Bind() = %v", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, p: p, b: b, sample: s, path: path, key: key, keys: keyList{sampleKeyID: &key.PublicKey}}
}

// sign makes the request of params and body as the network would, under secret.
func (g *rig) sign(params [][2]string, body, secret string) *Request {
	g.t.Helper()
	s := &signing{t: g.t, secret: secret, base: sampleURL + g.path, values: url.Values{}, header: http.Header{}, body: body, key: g.key}
	pairs := make([]string, len(params))
	for i, p := range params {
		s.values.Set(p[0], p[1])
		pairs[i] = p[0] + "=" + strings.ReplaceAll(url.QueryEscape(p[1]), "+", "%20")
	}
	s.query = strings.Join(pairs, "&")
	if g.sample.sign != nil {
		g.sample.sign(s)
	}
	r := &Request{Method: "GET", Path: g.path, RawQuery: s.query, Header: s.header, Client: sampleClient}
	if g.p.WantsPathSecret() {
		r.Secret = testSecret
	}
	if body != "" {
		r.Method, r.ContentType, r.Body = "POST", "application/json", []byte(body)
	}
	return r
}

// genuine is the sample as its network sends it.
func (g *rig) genuine() *Request { return g.sign(g.sample.params, g.sample.body, sampleSecret) }

func (g *rig) verify(r *Request) Proof { return g.b.Verify(g.t.Context(), r, sampleTime, g.keys) }

// judge judges r by what Verify says of it.
func (g *rig) judge(r *Request) Verdict { return g.b.Judge(received(g.b, r, sampleTime), g.verify(r)) }
