package keylist

import (
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"carom"

	"github.com/google/go-cmp/cmp"
)

func TestOneBadEntryDoesNotSpoilTheList(t *testing.T) {
	_, der := newKey(t, elliptic.P256())
	_, p384 := newKey(t, elliptic.P384())
	text := base64.StdEncoding.EncodeToString(der)
	inPEM, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Join([]string{
		`null`, `[]`, `{}`, `{"keyId":1.5,"base64":"` + text + `"}`, `{"keyId":1e3,"base64":"` + text + `"}`,
		`{"keyId":true,"base64":"` + text + `"}`, `{"keyId":"","base64":"` + text + `"}`,
		`{"keyId":"` + strings.Repeat("k", maxIDBytes+1) + `","base64":"` + text + `"}`,
		`{"keyId":2147483648,"base64":"` + text + `"}`,
		`{"keyId":18446744073709551616,"base64":"` + text + `"}`,
		`{"keyId":"name-of-key","base64":"` + text + `"}`,
		`{"keyId":10,"pem":` + string(inPEM) + `}`,
		`{"keyId":20,"base64":"` + base64.StdEncoding.EncodeToString(p384) + `"}`,
		`{"keyId":21,"base64":"!"}`, `{"keyId":22,"base64":7}`, `{"keyId":23,"pem":"no"}`, `{"keyId":24,"pem":7}`, `{"keyId":25}`,
		`{"keyId":26,"base64":""}`,
		`{"keyId":30,"base64":"!"}`, `{"keyId":30,"base64":"` + text + `"}`, `{"keyId":30,"base64":"!"}`,
	}, ",")
	s := newServer(t, `{"keys":[`+list+`],"more":1}`)
	for _, id := range []string{"2147483648", "18446744073709551616", "name-of-key", "10", "30"} {
		s.ask(t, id, nil)
	}
	for _, id := range []string{"20", "21", "22", "23", "24", "25", "26"} {
		s.ask(t, id, carom.ErrUnavailable) // the network has the key: a postback signed with it is not refused
	}
	for _, id := range []string{"1.5", "1", "1000", "1e3", "true", "null", "02147483648", strings.Repeat("k", maxIDBytes+1)} {
		s.ask(t, id, carom.ErrNotFound)
	}
	s.fetched(t, 1, "all of them")
	if !strings.Contains(s.log.String(), "keys=12 unusable=17") {
		t.Errorf("the log is %q, want the counts in it", s.log.String())
	}
}

func TestFromJSON(t *testing.T) {
	// The list of the published AdMob case with keys on two curves; 3901585526 is on secp256k1.
	const mixed = `{"keys":[
		{"keyId":1916455855,"base64":"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUaWMKcBHWdhUE+DncSIHhFCLLElnUs0LB9oanZ4K/FNICIM8ltS4nzc9yjmhgVQOlmSS6unqvN9t8sqajRTPcw=="},
		{"keyId":3901585526,"base64":"MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEtxg2BsK/fllIeADtLspezS6YfHFWXZ8tiJncm8LDBa/NxEC84akdWbWDCUrMMGIV27/3/e7UuKSEonjGvaDUsw=="},
		{"keyId":1234,"base64":"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPYnHwS8uegWAewQtlxizmLFynwHcxRT1PK07cDA6/C4sXrVI1SzZCUx8U8S0LjMrT6ird/VW7be3Mz6t/srtRQ=="}]}`
	list, err := FromJSON([]byte(mixed))
	if err != nil {
		t.Fatalf("FromJSON: %v", err)
	}
	got := map[string]error{}
	for _, id := range []string{"1916455855", "3901585526", "1234", "3335741209", ""} {
		key, err := list.Key(t.Context(), "", id)
		for _, kind := range []error{carom.ErrNotFound, carom.ErrUnavailable} {
			if errors.Is(err, kind) {
				err = kind
			}
		}
		if got[id] = err; (err == nil) != (key != nil) {
			t.Errorf("Key(%q) = %v, %v", id, key, err)
		}
	}
	want := map[string]error{
		"1916455855": nil, "1234": nil, "3901585526": carom.ErrUnavailable, "3335741209": carom.ErrNotFound, "": carom.ErrNotFound,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) })); diff != "" {
		t.Errorf("kinds of answers (-want +got):\n%s", diff)
	}

	for _, data := range []string{"", "[]", "{}", `{"keys":[]}`, `{"keys":[{}]}`, `{"keys":7}`} {
		list, err := FromJSON([]byte(data))
		var fault *carom.FieldError
		if list != nil || !errors.As(err, &fault) || fault.Field != "keys" {
			t.Errorf("FromJSON(%q) = %v, %v; want a fault of keys", data, list, err)
		}
	}
}
