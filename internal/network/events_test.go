package network

import (
	"errors"
	"os"
	"strings"
	"testing"

	"carom"
)

// tells says what a query becomes at a profile, once it is proved.
func tells(t *testing.T, p *Profile, query string, change func(*carom.Source)) (string, Verdict) {
	t.Helper()
	s := sourceOf(p, sampleSecret)
	if change != nil {
		change(&s)
	}
	b, err := p.Bind(s, nil, nil, sampleURL)
	if err != nil {
		t.Fatal(err)
	}
	v := b.Judge(get(query), Proof{Verified: true, Strength: p.Strength, signature: "s"})
	return tell(v), v
}

func TestReversals(t *testing.T) {
	profiles := mustProfiles(t)
	for _, tt := range []struct{ profile, query, want string }{
		{"ayet", "transaction_id=r-t1&user_id=u&amount=-10&is_chargeback=1", "reversal user=u tx=t1 amount=-10"},
		{"ayet", "transaction_id=r-t1&user_id=u&amount=10", "reversal user=u tx=t1 amount=10"},
		{"ayet", "transaction_id=t1&user_id=u&amount=-10&is_chargeback=0", "reversal user=u tx=t1 amount=-10"},
		{"ayet", "transaction_id=r-&user_id=u&amount=10", "completion user=u tx=r- amount=10"},
		{"ayet", "transaction_id=t1&user_id=u&amount=10&is_chargeback=maybe", "refused unknown_event_type: the event type \"maybe\" (parameter \"is_chargeback\") is not known: map it with `event_types:` on the source"},
		{"levelplay", "eventId=e&appUserId=u&rewards=10&negativeCallback=true", "reversal user=u tx=e amount=10"},
		{"levelplay", "eventId=e&appUserId=u&rewards=10&negativeCallback=false", "completion user=u tx=e amount=10"},
		{"bitlabs", "uid=u&val=-500&tx=t2&type=RECONCILIATION&ref=t1", "reversal user=u tx=t1 amount=-500"},
		{"bitlabs", "uid=u&val=-500&tx=t2", "reversal user=u tx=t2 amount=-500"},
		{"bitlabs", "uid=u&val=500&tx=t2&type=COMPLETE&ref=t1", "completion user=u tx=t2 amount=500"},
		{"bitlabs", "uid=u&val=5&tx=t2&type=SCREENOUT", "screenout user=u tx=t2 amount=5"},
		{"adgate", "conversion_id=c&user_id=u&points=5&state=rejected", "reversal user=u tx=c amount=5"},
		{"adgate", "conversion_id=c&user_id=u&points=5&status=0", "reversal user=u tx=c amount=5"},
		{"monlix", "userId=u&transactionId=t&rewardValue=5&status=2", "reversal user=u tx=t amount=5"},
		{"subid", "subId=u&transId=t&reward=5&status=2", "reversal user=u tx=t amount=5"},
		{"cpawild", "userid=u&idtrans=t&reward=-5", "reversal user=u tx=t amount=-5"},
	} {
		if got, _ := tells(t, profiles[tt.profile], tt.query, nil); got != tt.want {
			t.Errorf("%s %s tells %q, want %q", tt.profile, tt.query, got, tt.want)
		}
	}
	_, credit := tells(t, profiles["subid"], "subId=u&transId=t&reward=5&status=1", nil)
	_, debit := tells(t, profiles["subid"], "subId=u&transId=t&reward=5&status=2", nil)
	if credit.Key.Sum == debit.Key.Sum || credit.Key.Also == debit.Key.Also {
		t.Errorf("a reversal has the key of its credit: %+v and %+v", credit.Key, debit.Key)
	}
}

// A network's own test is answered like what is accepted, and never becomes an event.
func TestNetworkTests(t *testing.T) {
	profiles := mustProfiles(t)
	for _, tt := range []struct {
		profile, query string
		test           bool
	}{
		{"admob", "ad_network=5450213213286189855&ad_unit=1234567890&timestamp=1588756506292&transaction_id=123456789", true},
		{"admob", "ad_unit=1234567890&transaction_id=1&user_id=u", false},
		{"admob", "ad_unit=2747237135&transaction_id=123456789&user_id=u", false},
		{"subid", "subId=u&transId=t&reward=5&status=1&debug=1", true},
		{"subid", "subId=u&transId=t&reward=5&status=1&debug=0", false},
		{"chartboost", "from=a&uuid=b&campaign=c&campaign_id=d&to=e&ifa=f&type=install", true},
		{"chartboost", "custom_id=v&campaign=c", false},
	} {
		got, v := tells(t, profiles[tt.profile], tt.query, nil)
		if (v.Refused == carom.ReasonTest) != tt.test || v.Event != nil == tt.test {
			t.Errorf("%s %s tells %q, want a test: %v", tt.profile, tt.query, got, tt.test)
		}
	}
}

// What the network's amount is, is said by its own parameter alone.
func TestNobodyPlantsAnAmount(t *testing.T) {
	profiles := mustProfiles(t)
	got, v := tells(t, profiles["tapjoy"], "id=t&snuid=u&reward_amount=999999&currency=25&reward_item=x", nil)
	if want := "completion user=u tx=t item=x amount=25"; got != want || v.Event.Flags != carom.FlagRepeated {
		t.Errorf("tells %q with the flags %s, want %q and a flag", got, v.Event.Flags, want)
	}
}

func TestTransactionsAreNeeded(t *testing.T) {
	profiles := mustProfiles(t)
	for query, want := range map[string]string{
		"uid=u&amount=5":                     "refused no_identity: no transaction_id was sent, by which events are told apart: make Digital Turbine Offer Wall (Fyber) send _trans_id_",
		"uid=u&amount=5&_trans_id_=":         "refused no_identity: no transaction_id was sent, by which events are told apart: make Digital Turbine Offer Wall (Fyber) send _trans_id_",
		"uid=u&amount=5&_trans_id_=[TRANS]":  "refused literal_macro: transaction_id (parameter \"_trans_id_\") holds a macro as text: replace it in the URL at Digital Turbine Offer Wall (Fyber) by the network's spelling, _trans_id_",
		"amount=5&_trans_id_=t":              "refused no_identity: no user_id was sent, as uid: Pass the user's id as user id, and an id of your own as custom parameter pub0.",
		"uid=u&amount=5&_trans_id_=t&pub0=v": "completion ymid=v user=u tx=t amount=5",
	} {
		if got, _ := tells(t, profiles["fyber"], query, nil); got != want {
			t.Errorf("%s tells %q, want %q", query, got, want)
		}
	}
	// The ymid's kind says nothing about events that have a transaction.
	_, x := tells(t, profiles["fyber"], "uid=u&amount=5&_trans_id_=t1", func(s *carom.Source) { s.YMID = carom.YMIDUser })
	_, y := tells(t, profiles["fyber"], "uid=u&amount=5&_trans_id_=t1&x=1", func(s *carom.Source) { s.YMID = carom.YMIDUser })
	if x.Key != y.Key || x.Key.Window != carom.DefaultDedupeWindow {
		t.Errorf("keys %+v and %+v, want one over the dedupe window", x.Key, y.Key)
	}
}

// Check tells a copy from one that disagrees in amount or user.
func TestConflictingAmounts(t *testing.T) {
	profiles := mustProfiles(t)
	_, x := tells(t, profiles["applovin"], "event_id=e&user_id=u&amount=10", nil)
	for _, query := range []string{"event_id=e&user_id=u&amount=11", "event_id=e&user_id=w&amount=10"} {
		if _, y := tells(t, profiles["applovin"], query, nil); y.Key.Sum != x.Key.Sum || y.Key.Check == x.Key.Check {
			t.Errorf("%s has the key %+v beside %+v, want the same sum and another check", query, y.Key, x.Key)
		}
	}
}

func TestDefaultsAndConstants(t *testing.T) {
	profiles := mustProfiles(t)
	if got, _ := tells(t, profiles["tads"], "telegram_id=1", func(s *carom.Source) { s.DefaultEventType = carom.Click }); got != "click telegram=1" {
		t.Errorf("the source's default tells %q", got)
	}
	if _, v := tells(t, profiles["adsgram"], "userid=1", nil); v.Event.Value != carom.Valued || v.Event.Flags != carom.FlagYMIDAsUser {
		t.Errorf("Judge() = %+v, want a valued event of a user", v.Event)
	}
}

func TestBindTemplates(t *testing.T) {
	profiles := mustProfiles(t)
	for _, tt := range []struct {
		name, profile string
		names         map[string]string
		static        []string
		query, want   string // what the query tells, or the error
	}{
		{"names of one's own in the network's spelling", "levelplay", map[string]string{"u": "USER_ID", "r": "REWARDS", "e": "EVENT_ID", "c": "COUNTRY"}, nil,
			"u=u1&r=5&e=e1&c=DE&userId=other&negativeCallback=true", "reversal user=u1 tx=e1 amount=5"},
		{"names of one's own in carom's spelling", "levelplay", map[string]string{"u": "user_id", "r": "reward_amount", "e": "transaction_id"}, []string{"k"}, "u=u1&r=5&e=e1&k=v", "completion user=u1 tx=e1 amount=5"},
		{"parameters of one's own at a network with fixed names", "unityads", nil, []string{"productid"}, "productid=1&sid=v&oid=o", "completion ymid=v tx=o"},
		{"nobody", "levelplay", map[string]string{"e": "EVENT_ID", "r": "REWARDS"}, nil, "", "sources.main.template: no parameter says whose event it is: add appUserId=[USER_ID]"},
		{"no transaction", "levelplay", map[string]string{"u": "USER_ID", "r": "REWARDS"}, nil, "", "sources.main.template: no parameter is the transaction_id, which every postback of Unity LevelPlay (ironSource) is proved and told apart by: add eventId=[EVENT_ID]"},
		{"no signature", "applovin", map[string]string{"u": "USER_ID", "e": "EVENT_ID"}, nil, "", "no parameter is the signature, which every postback of AppLovin MAX is proved and told apart by: add event_token={EVENT_TOKEN}"},
		{"a part of the text is missing", "lootably", map[string]string{"u": "userID", "t": "transactionID", "usd": "revenue", "n": "currencyReward", "h": "hash"}, nil, "", "no parameter is the ip, which is part of what Lootably signs"},
	} {
		p := profiles[tt.profile]
		names := tt.names
		if names == nil {
			names = map[string]string{}
		}
		b, err := p.Bind(sourceOf(p, sampleSecret), names, tt.static, "")
		if tt.query == "" {
			if !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Bind(%s) = %v, want an ErrInvalid with %q", tt.name, err, tt.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("Bind(%s) = %v", tt.name, err)
			continue
		}
		if got := tell(b.Judge(get(tt.query), Proof{Verified: true})); got != tt.want {
			t.Errorf("%s: %s tells %q, want %q", tt.name, tt.query, got, tt.want)
		}
	}
}

// A profile cannot be written so that it leaves a hole; every fault names line, key and fix.
func TestLoadProfileRefuses(t *testing.T) {
	for _, tt := range []struct{ name, profile, old, new, want string }{
		{"nothing is verified", "cpawild", "  - hash: {alg: md5, over: \"{secret}{transaction_id}{user_id}{reward_amount}\"}", "  []", "verify: no block is listed, and a source is never open"},
		{"an entry without a block", "cpawild", "  - hash: {alg: md5, over: \"{secret}{transaction_id}{user_id}{reward_amount}\"}", "  - {}", "verify[0]: it holds 0 blocks"},
		{"an entry with two", "cpawild", "  - hash:", "  - path_secret: {}\n    hash:", "verify[0]: it holds 2 blocks"},
		{"an unknown algorithm", "cpawild", "alg: md5", "alg: md4", `verify[0].hash.alg: "md4" is no algorithm that carom has: use one of md5, sha1, sha256, sha3-256`},
		{"an unknown encoding", "cpawild", "alg: md5", "alg: md5, encoding: rot13", `verify[0].hash.encoding: "rot13" is none of`},
		{"an unknown key of a block", "cpawild", "alg: md5", "alg: md5, sep: x", "sep"},
		{"no secret in the text", "cpawild", "{secret}{transaction_id}", "{transaction_id}", "verify[0].hash.over: a plain hash needs {secret} once"},
		{"the signature in its own text", "cpawild", "{secret}{", "{secret}{signature}{", "a signature is not part of the text"},
		{"a brace alone", "cpawild", "{secret}{", "{secret}{{", "a brace lacks its partner"},
		{"an unknown filter", "cpawild", "{reward_amount}", "{reward_amount|round}", `there is no "round" after a name`},
		{"a signature that stands nowhere", "cpawild", "  signature: [signature]\n", "", "verify[0]: hash reads the field signature, which nothing fills"},
		{"a text with a field that nothing fills", "cpawild", "{user_id}", "{telegram_id}", "verify[0]: hash reads the field telegram_id"},
		{"a signature that leaves the transaction out", "cpawild", "{secret}{transaction_id}", "{secret}", "does not cover transaction_id, so one valid URL would be good for any number of transactions: add `- path_secret: {}`"},
		{"more covered than is", "subid", "covers: [user_id,", "covers: [ymid, user_id,", "covers: it is not what the blocks cover: write [user_id, transaction_id, reward_amount]"},
		{"the whole part signed and all of it used", "pubscale", "transforms:\n  reward_amount: {int_truncate: true}\n", "", "covers: it is not what the blocks cover: write [user_id, transaction_id]"},
		{"another strength", "cpawild", "strength: signed", "strength: secret", `strength: "secret" is not what the blocks amount to: write signed`},
		{"evidence that does not fit", "cpawild", "formula only", "secret only", "evidence: \"secret only\" does not fit the strength signed"},
		{"two signatures", "unityads", "  - hmac_sorted", "  - hmac_url: {alg: sha1}\n  - hmac_sorted", "verify: 2 blocks compare a signature"},
		{"a block twice", "monlix", "  - secret: {}", "  - secret: {}\n  - secret: {}", "verify[1]: secret stands twice"},
		{"a body that is not covered", "bitlabs", "methods: [GET]", "methods: [GET, POST]", "methods: hmac_url covers the URL alone: write [GET]"},
		{"a query that is not covered", "standardwebhooks", "methods: [POST]", "methods: [GET, POST]", "methods: standard_webhooks covers the body alone: write [POST]"},
		{"no tolerance", "standardwebhooks", "tolerance: 5m", "tolerance: 5", "verify[0].standard_webhooks.tolerance"},
		{"a key list without its address", "admob", "https://www.gstatic.com/admob/reward/verifier-keys.json", "verifier-keys.json", "verify[1].ecdsa_query.keys"},
		{"a pair without its value", "unityads", "{name}={value}", "{name}", "verify[0].hmac_sorted.pair"},
		{"values in an unknown form", "unityads", "values: decoded", "values: raw", `verify[0].hmac_sorted.values: "raw"`},
		{"a dedupe key without the transaction", "cpawild", "dedupe: [transaction_id, event_type]", "dedupe: [user_id]", "dedupe: it lacks transaction_id, which the network sends: add it"},
		{"a reversal that is a copy", "cpawild", "dedupe: [transaction_id, event_type]", "dedupe: [transaction_id]", "dedupe: it lacks event_type, so a reversal would be a copy"},
		{"a dedupe key without any id", "chartboost", "dedupe: [ymid, event_type]", "dedupe: [zone_id]", "dedupe: it holds neither transaction_id nor ymid"},
		{"a dedupe key that nothing fills", "chartboost", "dedupe: [ymid, event_type]", "dedupe: [ymid, telegram_id]", "dedupe: nothing fills telegram_id"},
		{"ids where there are none", "adsgram", "no_id: true", "no_id: true\ndedupe: [telegram_id]", "dedupe: a network without any id has no tuple"},
		{"a reversal that anybody could point", "cpawild", "negative_amount: true", "negative_amount: true, of: ref", "reversal.of: the signature does not cover it"},
		{"a test that is everything", "subid", "  - {debug: \"1\"}", "  - {}", "tests: a rule without a condition"},
		{"no event type", "cpawild", "event_type: completion, ", "", "constants.event_type: nothing says what happened"},
		{"a value that is none", "cpawild", "reward_event_type: valued", "reward_event_type: paid", "constants.reward_event_type"},
		{"a success that says error", "cpawild", `accepted: {status: 200, body: "OK"}`, `accepted: {status: 200, body: "no error"}`, "answers.accepted: the body of a success says fail or error"},
		{"a placeholder that cannot be filled", "cpawild", `accepted: {status: 200, body: "OK"}`, `accepted: {status: 200, body: "{detail}"}`, "answers.accepted: the body has a placeholder"},
		{"JSON that is none", "pangle", `'{"isValid":true}'`, `'{isValid}'`, "answers.accepted: the body is not JSON"},
		{"a manager without a letter", "cpawild", "setup: paste", "setup: manager", "message: a network that its manager sets up"},
		{"a transform of what is not there", "pubscale", "  reward_amount: {int", "  zone_id: {int", "transforms.zone_id: the profile fills no such field"},
		{"a header twice", "ayet", "  zone_id: [adslot_id]", `  zone_id: ["header:x-ayetstudios-security-hash"]`, "is read already"},
		{"a part of the text that the template lacks", "lootably", "&ip={ip}", "", "verify[1]: the text that hash signs has ip, which neither the template nor `appends:` has"},
		{"appended to nothing", "cpawild", "methods: [GET]", "methods: [GET]\nappends: [x]", "appends: a network without a template"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := os.ReadFile("profiles/" + tt.profile + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(string(data), tt.old, tt.new, 1)
			if text == string(data) {
				t.Fatalf("%q does not stand in the profile", tt.old)
			}
			_, err = LoadProfile("p", "p.yaml", []byte(text))
			var fault *carom.FieldError
			if !errors.As(err, &fault) || !strings.Contains(err.Error(), tt.want) || fault.File != "p.yaml" || fault.Line < 1 {
				t.Errorf("LoadProfile() = %v, want a FieldError at its line with %q", err, tt.want)
			}
		})
	}
}
