package receiver_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"carom"
	"carom/receiver"
)

// The plain text secret of these tests, and the one of the published vectors.
const (
	textSecret   = "correct horse battery"
	whsecSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherSecret  = "another secret of enough bytes"
	signedQuery  = "ymid=user123&zone_id=8790478"
	sampleBody   = `{"test": 2432232314}`
	sampleMoment = 1614265330
)

// vector is one case of testdata/standard-webhooks.json: the published test cases of the convention's own libraries.
type vector struct {
	ID     string
	Scheme string
	Input  struct {
		Secret    string
		ID        string
		Timestamp int64
		Body      string
		Headers   map[string]string
		Now       int64
		Tolerance int64 `json:"tolerance_s"`
	}
	Expect struct {
		Signature string
		Valid     bool
		Reason    string
	}
}

func TestPublishedVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/standard-webhooks.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	// What the error says for each reason of the vectors.
	says := map[string]string{
		"":               "",
		"bad_timestamp":  "Webhook-Timestamp is not unix seconds",
		"future":         "in the future",
		"missing_header": "is missing",
		"bad_signature":  "no matching signature",
	}
	if len(vectors) < 9 {
		t.Errorf("read %d vectors, want all 9", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.ID, func(t *testing.T) {
			switch v.Scheme {
			case "standard-webhooks-sign":
				at := time.Unix(v.Input.Timestamp, 0)
				got, err := receiver.SignStandard(v.Input.ID, at, []byte(v.Input.Body), v.Input.Secret)
				if err != nil || got != v.Expect.Signature {
					t.Errorf("SignStandard = %q, %v; want %q", got, err, v.Expect.Signature)
				}
			case "standard-webhooks-verify":
				header := http.Header{}
				for name, value := range v.Input.Headers {
					header.Set(name, value)
				}
				tolerance := time.Duration(v.Input.Tolerance) * time.Second
				err := receiver.VerifyStandard(header, []byte(v.Input.Body), time.Unix(v.Input.Now, 0), tolerance, v.Input.Secret)
				checkVerdict(t, err, v.Expect.Valid, says[v.Expect.Reason])
			case "standard-webhooks-secret":
				if _, err := receiver.ParseSecret(v.Input.Secret); (err == nil) != v.Expect.Valid {
					t.Errorf("ParseSecret = %v, want valid %v", err, v.Expect.Valid)
				}
			default:
				t.Errorf("no code for the scheme %q", v.Scheme)
			}
		})
	}
}

// checkVerdict checks that err is nil when valid is set, else carom.ErrUnauthorized with a text that holds says.
func checkVerdict(t *testing.T, err error, valid bool, says string) {
	t.Helper()
	switch {
	case valid && err != nil:
		t.Errorf("refused: %v", err)
	case !valid && !errors.Is(err, carom.ErrUnauthorized):
		t.Errorf("got %v, want ErrUnauthorized", err)
	case !valid && !strings.Contains(err.Error(), says):
		t.Errorf("got %q, want it to say %q", err, says)
	}
}

func TestVerifyStandard(t *testing.T) {
	now := time.Unix(sampleMoment, 0)
	sign := func(secret string) string {
		s, err := receiver.SignStandard("dlv_1", now, []byte(sampleBody), secret)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	header := func(id, timestamp, signature string) http.Header {
		return http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
	}
	good := header("dlv_1", "1614265330", sign(textSecret))
	tests := []struct {
		name    string
		header  http.Header
		body    string
		now     time.Time
		secrets []string
		valid   bool
	}{
		{"a plain text secret", good, sampleBody, now, []string{textSecret}, true},
		{"the older of two secrets", good, sampleBody, now, []string{otherSecret, textSecret}, true},
		{"two signatures, the receiver knows the newer", header("dlv_1", "1614265330", sign(textSecret)+" "+sign(otherSecret)),
			sampleBody, now, []string{otherSecret}, true},
		{"as late as the tolerance", good, sampleBody, now.Add(5 * time.Minute), []string{textSecret}, true},
		{"later than the tolerance", good, sampleBody, now.Add(5*time.Minute + time.Second), []string{textSecret}, false},
		{"another body", good, sampleBody + " ", now, []string{textSecret}, false},
		{"another id", header("dlv_2", "1614265330", sign(textSecret)), sampleBody, now, []string{textSecret}, false},
		{"another timestamp", header("dlv_1", "1614265331", sign(textSecret)), sampleBody, now, []string{textSecret}, false},
		{"another secret", good, sampleBody, now, []string{otherSecret}, false},
		{"no headers", nil, sampleBody, now, []string{textSecret}, false},
		{"bytes moved from the body to the id", header("dlv_1.2", "1614265330", sign(textSecret)), sampleBody, now,
			[]string{textSecret}, false},
		{"a timestamp beyond all times", header("dlv_1", "9223372036854775807", sign(textSecret)), sampleBody, now,
			[]string{textSecret}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := receiver.VerifyStandard(tt.header, []byte(tt.body), tt.now, 0, tt.secrets...)
			checkVerdict(t, err, tt.valid, "")
		})
	}
	repeated := good.Clone()
	repeated.Add("Webhook-Id", "dlv_1")
	checkVerdict(t, receiver.VerifyStandard(repeated, []byte(sampleBody), now, 0, textSecret), false, "repeated")
}

// getCases are queries with what a receiver should make of them; the PHP line meets them too.
func getCases() map[string]struct {
	query string
	valid bool
} {
	good, older := receiver.SignGET(signedQuery, textSecret), receiver.SignGET(signedQuery, otherSecret)
	return map[string]struct {
		query string
		valid bool
	}{
		"signed":                             {signedQuery + "&sig=" + good, true},
		"two signatures":                     {signedQuery + "&sig=" + older + "," + good, true},
		"the only parameter":                 {"sig=" + receiver.SignGET("", textSecret), true},
		"an encoded ampersand in a value":    {"a=1%26sig=2&sig=" + receiver.SignGET("a=1%26sig=2", textSecret), true},
		"another query":                      {"ymid=user124&zone_id=8790478&sig=" + good, false},
		"a parameter added behind":           {signedQuery + "&sig=" + good + "&ymid=user124", false},
		"a parameter hidden behind a comma":  {signedQuery + "&sig=" + good + ",&ymid=user124", false},
		"a parameter between two signatures": {signedQuery + "&sig=" + good + "&ymid=user124&sig=" + good, false},
		"a parameter added in front":         {"ymid=user124&" + signedQuery + "&sig=" + good, false},
		"another parameter's name":           {signedQuery + "&xsig=" + good, false},
		"upper case":                         {signedQuery + "&sig=" + strings.ToUpper(good), false},
		"an empty signature":                 {signedQuery + "&sig=", false},
		"no signature":                       {signedQuery, false},
		"nothing":                            {"", false},
		"a signature of another secret":      {signedQuery + "&sig=" + older, false},
		"text beside the signature":          {signedQuery + "&sig=" + good + ",zz", false},
	}
}

func TestVerifyGET(t *testing.T) {
	for name, tt := range getCases() {
		t.Run(name, func(t *testing.T) {
			checkVerdict(t, receiver.VerifyGET(tt.query, "sig", textSecret), tt.valid, "")
		})
	}
	t.Run("the older of two secrets", func(t *testing.T) {
		query := signedQuery + "&sig=" + receiver.SignGET(signedQuery, textSecret)
		checkVerdict(t, receiver.VerifyGET(query, "sig", otherSecret, textSecret), true, "")
	})
	t.Run("signed parameter twice", func(t *testing.T) {
		signed := "sig=1&a=2"
		query := signed + "&sig=" + receiver.SignGET(signed, textSecret)
		checkVerdict(t, receiver.VerifyGET(query, "sig", textSecret), false, "twice")
	})
}

// A known answer, so that a change of both halves at once is noticed. It is what `printf %s 'ymid=user123&zone_id=8790478'
// | openssl dgst -sha256 -hmac 'correct horse battery'` prints.
func TestSignGET(t *testing.T) {
	const want = "b01fb88ec1b13b9675de4c5f5b01bda0981893756e64cd895fc396cab85437c0"
	if got := receiver.SignGET(signedQuery, textSecret); got != want {
		t.Errorf("SignGET = %s, want %s", got, want)
	}
}

func TestVerifyRefusesToRunWithoutSecret(t *testing.T) {
	query := "a=1&sig=" + receiver.SignGET("a=1", "")
	for name, secrets := range map[string][]string{
		"none": nil, "an empty one": {""}, "one of two empty": {textSecret, ""}, "too short": {"short"},
	} {
		if err := receiver.VerifyGET(query, "sig", secrets...); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("VerifyGET with %s = %v, want ErrInvalid", name, err)
		}
		if err := receiver.VerifyStandard(nil, nil, time.Unix(0, 0), 0, secrets...); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("VerifyStandard with %s = %v, want ErrInvalid", name, err)
		}
	}
}

func TestParseSecret(t *testing.T) {
	tests := []struct {
		name, secret string
		bytes        int // of the key; 0: refused
	}{
		{"base64 of 24 bytes", whsecSecret, 24},
		{"base64 of 64 bytes", "whsec_" + strings.Repeat("A", 84) + "AA==", 64},
		{"base64 of 65 bytes", "whsec_" + strings.Repeat("A", 84) + "AAA=", 0},
		{"base64 of 23 bytes", "whsec_" + strings.Repeat("A", 28) + "AAA=", 0},
		{"not base64", "whsec_hunter2hunter2hunter2hunter2!", 0},
		{"text of 16 bytes", "hunter2hunter2hu", 16},
		{"text of 15 bytes", "hunter2hunter2h", 0},
		{"text of 257 bytes", strings.Repeat("hunter2", 36) + "hunte", 0},
		{"empty", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, err := receiver.ParseSecret(tt.secret)
			if len(key) != tt.bytes || (err == nil) != (tt.bytes > 0) {
				t.Errorf("ParseSecret = %d bytes, %v; want %d bytes", len(key), err, tt.bytes)
			}
			if err != nil && (!errors.Is(err, carom.ErrInvalid) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("ParseSecret's error is %q, want an ErrInvalid without the secret", err)
			}
		})
	}
}

func TestSignStandardRefusesAmbiguousID(t *testing.T) {
	for _, id := range []string{"", "a.1"} {
		if s, err := receiver.SignStandard(id, time.Unix(0, 0), nil, textSecret); s != "" || !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("SignStandard(%q) = %q, %v; want ErrInvalid", id, s, err)
		}
	}
}

// The line of PHP in the comment of VerifyGET, run as it is printed there.
func TestPHPLine(t *testing.T) {
	php, err := exec.LookPath("php")
	if err != nil {
		if os.Getenv("CAROM_TEST_ALL") != "" {
			t.Fatal("php is not installed, and CAROM_TEST_ALL is set")
		}
		t.Skip("php is not installed: apt-get install php-cli")
	}
	source, err := os.ReadFile("signature.go")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(source), "//\t$ok = ")
	line, _, found := strings.Cut(line, "\n")
	if !found {
		t.Fatal("the comment of VerifyGET holds no line of PHP")
	}
	program := "$secret = getenv('SECRET'); $_SERVER['QUERY_STRING'] = getenv('QUERY_STRING'); $ok = " + line +
		" echo $ok ? 'yes' : 'no';"
	for name, tt := range getCases() {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(php, "-d", "error_reporting=-1", "-d", "display_errors=1", "-r", program)
			cmd.Env = append(os.Environ(), "SECRET="+textSecret, "QUERY_STRING="+tt.query)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("php: %v\n%s", err, out)
			}
			if got := string(out) == "yes"; got != tt.valid || (!got && string(out) != "no") {
				t.Errorf("php says %q for %q, want valid %v", out, tt.query, tt.valid)
			}
		})
	}
}
