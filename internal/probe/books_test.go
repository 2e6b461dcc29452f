package probe

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"carom"
)

func TestReadBalance(t *testing.T) {
	for _, tt := range []struct{ text, field, want string }{
		{"12", "", "12"},
		{" 0.0023\n", "", "0.0023"},
		{"", "", "0"},
		{"null", "", "0"},
		{`"7.50"`, "", "7.5"},
		{"-3", "", "-3"},
		{"1e12", "", "1000000000000"},
		{"0.30000000000000004", "", "0.30000000000000004"},
		{`{"user":{"coins":0.1}}`, "user.coins", "0.1"},
		{`{"balances":[{"amount":"12"}]}`, "balances.0.amount", "12"},
		{`{"balances":[]}`, "balances.0.amount", "0"},
		{`{"user":null}`, "user.coins", "0"},
		{`{"user":{"coins":null}}`, "user.coins", "0"},
	} {
		got, err := readBalance([]byte(tt.text), tt.field)
		if err != nil || amount(got) != tt.want {
			t.Errorf("%q at %q: got %v, %v, want %s", tt.text, tt.field, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ text, field string }{
		{"NaN", ""}, {"Infinity", ""}, {"12 coins", ""}, {"1,5", ""}, {"1/3", ""}, {"0x10", ""}, {"1e999999999", ""}, {"1.2.3", ""}, {"<html>", ""},
		{strings.Repeat("9", 500), ""}, {"not JSON", "a"}, {`{"a":1}`, "b"}, {`{"a":1}`, "a.b"}, {`{"a":[1]}`, "a.x"}, {`{"a":true}`, "a"},
	} {
		if got, err := readBalance([]byte(tt.text), tt.field); err == nil {
			t.Errorf("%.40q at %q: got %s, want an error", tt.text, tt.field, amount(got))
		}
	}
}

func TestURLBooks(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer k":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/nobody":
			w.WriteHeader(http.StatusNotFound)
		case r.URL.RawQuery == "t=7&y=a%20b%26c":
			_, _ = w.Write([]byte(`{"coins": 5}`))
		}
	}))
	defer srv.Close()
	a := Account{User: "ann", YMID: "a b&c", TelegramID: "7"}
	header := http.Header{"Authorization": {"Bearer k"}}
	for _, tt := range []struct {
		path   string
		header http.Header
		want   string
	}{
		{"/{user}?t={telegram_id}&y={ymid}", header, "5"},
		{"/nobody?u={user}", header, "0"},
		{"/{user}", nil, "the answer is 401"},
	} {
		b, err := NewURLBooks(srv.URL+tt.path, "coins", tt.header)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Balance(t.Context(), a)
		if err == nil && amount(got) != tt.want || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v, want %s", tt.path, got, err, tt.want)
		}
	}
	for _, url := range []string{srv.URL + "/balance", "balance/{user}", "file:///{user}"} {
		if _, err := NewURLBooks(url, "", nil); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("%s: got %v, want it refused", url, err)
		}
	}
}

func TestCommandBooks(t *testing.T) {
	for _, tt := range []struct{ command, field, want string }{
		{`echo 12.5`, "", "12.5"},
		{`sh -c 'test "$CAROM_USER $CAROM_YMID $CAROM_TELEGRAM_ID" = "a; b y 7" && echo 1'`, "", "1"},
		{`printf {"coins":"%s"} 3`, "coins", "no field"}, // the quotes are the shell's, not the program's
		{`printf '{"coins":"%s"}' 3`, "coins", "3"},
		{`sh -c 'test "$1" = "a; b" && echo 4' x {user}`, "", "4"},
		{`false`, "", "run the balance command"},
		{`/nowhere/at/all {user}`, "", "run the balance command"},
		{`yes`, "", "run the balance command"},
	} {
		b, err := NewCommandBooks(tt.command, tt.field)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Balance(t.Context(), Account{User: "a; b", YMID: "y", TelegramID: "7"})
		if err == nil && amount(got) != tt.want || err != nil && !strings.Contains(err.Error(), tt.want) && !strings.Contains(err.Error(), "not JSON") {
			t.Errorf("%s: got %v, %v, want %s", tt.command, got, err, tt.want)
		}
	}
	for _, command := range []string{"", "  ", `echo "x`, `"" x`} {
		if _, err := NewCommandBooks(command, ""); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("%q: got %v, want it refused", command, err)
		}
	}
}

// TestUnreadableBooks: nothing is sent when the books cannot be read to begin with.
func TestUnreadableBooks(t *testing.T) {
	b, err := NewCommandBooks("false", "")
	if err != nil {
		t.Fatal(err)
	}
	o := quick()
	o.Books = b
	if r, err := Run(t.Context(), Target{URL: "http://127.0.0.1:1/?token=abc"}, o); !errors.Is(err, carom.ErrUnavailable) || r != nil {
		t.Errorf("got %v, %v, want an error and no report", r, err)
	}
}
