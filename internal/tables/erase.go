package tables

import (
	"database/sql/driver"
	"net/url"
	"strings"
	"unicode"

	"carom"
)

// Names says whether a request names the user: as a value of its own, not as a part of a longer one.
func Names(r *carom.Received, user string) bool {
	query, err := url.QueryUnescape(r.RawQuery)
	if err != nil {
		query = r.RawQuery
	}
	body, err := url.QueryUnescape(string(r.Body))
	if err != nil {
		body = string(r.Body)
	}
	return mentions(query, user) || mentions(body, user) || mentions(string(r.Body), user)
}

func mentions(text, word string) bool {
	inWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	for from := 0; word != ""; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return false
		}
		before, after := []rune(text[:from+i]), []rune(text[from+i+len(word):])
		if (len(before) == 0 || !inWord(before[len(before)-1])) && (len(after) == 0 || !inWord(after[0])) {
			return true
		}
		from += i + len(word)
	}
	return false
}

// EraseSamples removes what names a user of an app from the samples that are kept, of unverified requests and of comparisons in
// shadow, and from the answers that are kept. It returns how many samples these were.
func EraseSamples(tx Tx, app, user string) (int, error) {
	type row struct {
		where string
		keys  []any
	}
	var drop []row
	if err := tx.Query(`SELECT source, slot, query, body FROM unverified
		WHERE source = '?' OR substr(source, 1, length(CAST(?1 AS text)) + 1) = CAST(?1 AS text) || '/'`, func(v []driver.Value) error {
		query, _ := v[2].(string)
		body, _ := v[3].([]byte)
		if Names(&carom.Received{RawQuery: query, Body: body}, user) {
			drop = append(drop, row{`unverified WHERE source = ? AND slot = ?`, []any{v[0], v[1]}})
		}
		return nil
	}, app); err != nil {
		return 0, err
	}
	if err := tx.Query(`SELECT source, kind, slot, judged, answered FROM shadow_examples
		WHERE substr(source, 1, length(CAST(?1 AS text)) + 1) = CAST(?1 AS text) || '/'`, func(v []driver.Value) error {
		judged, _ := v[3].(string)
		answered, _ := v[4].(string)
		if mentions(judged, user) || mentions(answered, user) {
			drop = append(drop, row{`shadow_examples WHERE source = ? AND kind = ? AND slot = ?`, []any{v[0], v[1], v[2]}})
		}
		return nil
	}, app); err != nil {
		return 0, err
	}
	if err := eraseAnswers(tx, user); err != nil {
		return 0, err
	}
	for _, r := range drop {
		if err := tx.Exec(`DELETE FROM `+r.where, r.keys...); err != nil {
			return 0, err
		}
	}
	return len(drop), nil
}
