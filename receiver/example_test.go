package receiver_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"carom"
	"carom/receiver"
)

// A receiver of GETs checks the query as it came, before it reads any of it.
func ExampleVerifyGET() {
	const secret = "correct horse battery"
	handler := func(w http.ResponseWriter, r *http.Request) {
		if err := receiver.VerifyGET(r.URL.RawQuery, "sig", secret); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		_, _ = fmt.Fprintln(w, "grant to", r.URL.Query().Get("ymid"))
	}
	query := "ymid=user123"
	for _, target := range []string{
		"/postback?" + query + "&sig=" + receiver.SignGET(query, secret),
		"/postback?ymid=user124&sig=" + receiver.SignGET(query, secret),
	} {
		w := httptest.NewRecorder()
		handler(w, httptest.NewRequest("GET", target, nil))
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 200 grant to user123
	// 403 the parameter sig holds no matching signature: unauthorized
}

// A receiver of POSTs checks the body's bytes before it parses them.
func ExampleVerifyStandard() {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	now := time.Unix(1767323045, 0) // time.Now() in a real one
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		if err := receiver.VerifyStandard(r.Header, body, now, 0, secret); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		_, _ = fmt.Fprintln(w, "grant once for", r.Header.Get(receiver.HeaderID))
	}
	body := `{"type":"event.click"}`
	signature, err := receiver.SignStandard("dlv_1", now, []byte(body), secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("POST", "/postback", strings.NewReader(body))
	r.Header.Set(receiver.HeaderID, "dlv_1")
	r.Header.Set(receiver.HeaderTimestamp, "1767323045")
	r.Header.Set(receiver.HeaderSignature, signature)
	w := httptest.NewRecorder()
	handler(w, r)
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 200 grant once for dlv_1
}

// The coins are added in the transaction in which the delivery is marked: both are committed, or neither.
func ExampleNew() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	db.SetMaxOpenConns(1) // a database in memory belongs to its connection
	marks := receiver.NewSQL(db, receiver.SQLite)
	if err := marks.Create(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	const secret = "correct horse battery"
	handler, err := receiver.New(receiver.Options{Secrets: []string{secret}}, marks,
		func(ctx context.Context, tx *sql.Tx, p receiver.Postback) error {
			if p.Value != carom.Valued {
				return nil // settled: there is nothing to pay
			}
			fmt.Println("pay for", p.YMID) // in a real one: tx.ExecContext(ctx, "UPDATE …")
			return nil
		})
	if err != nil {
		fmt.Println(err)
		return
	}
	query := "ymid=7.c0ffee11&event_type=click&reward_event_type=valued&delivery_id=dlv_1&test="
	for range 2 { // the answer to the first got lost
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", "/carom?"+query+"&sig="+receiver.SignGET(query, secret), nil))
		fmt.Println(w.Code)
	}
	// Output:
	// pay for 7.c0ffee11
	// 200
	// 200
}
