package telegram

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxIDDigits is enough for every id of 64 bits.
const maxIDDigits = 20

// maxDateDigits is enough for the next 300 centuries, and keeps the date within what time.Time computes with.
const maxDateDigits = 12

// field is one field of init data, decoded.
type field struct{ name, value string }

// split takes init data apart and sorts its fields by name.
//
// What proofs cover is lines of name=value, so a name with an equals sign or a text with a line feed could pass for
// other fields. Telegram sends neither. They are refused here, whatever the proof says.
func split(data string) ([]field, *Error) {
	switch {
	case data == "":
		return nil, refuse(Malformed, "", "it is empty: open the Mini App inside Telegram, and send the text of Telegram.WebApp.initData")
	case len(data) > MaxBytes:
		return nil, refuse(Malformed, "", "it is longer than %d bytes: send the text of Telegram.WebApp.initData alone", MaxBytes)
	}
	fields := make([]field, 0, strings.Count(data, "&")+1)
	for pair := range strings.SplitSeq(data, "&") {
		rawName, rawValue, ok := strings.Cut(pair, "=")
		if !ok || !isWord(rawName) {
			return nil, refuse(Malformed, "", "field %d is not of the form name=value: send the text of Telegram.WebApp.initData unchanged", len(fields)+1)
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil || !isText(value) {
			return nil, refuse(Malformed, known(rawName), "field %d of the init data is not percent-encoded UTF-8 without control characters: "+
				"send the text of Telegram.WebApp.initData unchanged", len(fields)+1)
		}
		fields = append(fields, field{rawName, value})
	}
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(fields); i++ {
		if fields[i].name == fields[i-1].name {
			return nil, refuse(Malformed, known(fields[i].name), "a field is there twice: send the text of Telegram.WebApp.initData unchanged")
		}
	}
	return fields, nil
}

// known returns name if it may stand in an error, because it is one of Telegram's and not a part of the data.
func known(name string) string {
	switch name {
	case fieldAuthDate, fieldChatInstance, fieldHash, fieldQueryID, fieldSignature, fieldStartParam, fieldUser:
		return name
	}
	return ""
}

// find returns the value of a field, and whether the field is there.
func find(fields []field, name string) (string, bool) {
	i, ok := slices.BinarySearchFunc(fields, name, func(f field, name string) int { return strings.Compare(f.name, name) })
	if !ok {
		return "", false
	}
	return fields[i].value, true
}

// read makes InitData of fields that are proven. What is not of a form that Telegram sends is refused all the same.
func read(fields []field, dated string) (InitData, *Error) {
	var d InitData
	seconds, err := strconv.ParseInt(dated, 10, 64)
	if err != nil || !isDigits(dated) || len(dated) > maxDateDigits {
		return d, refuse(Malformed, fieldAuthDate, "it is not a number of seconds since 1970: send it as Telegram gives it")
	}
	d.AuthDate = time.Unix(seconds, 0).UTC()
	d.StartParam, _ = find(fields, fieldStartParam)
	d.QueryID, _ = find(fields, fieldQueryID)
	d.ChatInstance, _ = find(fields, fieldChatInstance)
	text, ok := find(fields, fieldUser)
	if !ok {
		return d, nil
	}
	var user struct {
		ID       json.RawMessage `json:"id"` // a number that may be too large for a float, so its text is kept
		Language string          `json:"language_code"`
		Premium  bool            `json:"is_premium"`
	}
	if json.Unmarshal([]byte(text), &user) != nil {
		return d, refuse(Malformed, fieldUser, "it is not the JSON object that Telegram gives: send it unchanged")
	}
	id := string(user.ID)
	if !isDigits(id) || id[0] == '0' || len(id) > maxIDDigits {
		return d, refuse(Malformed, fieldUser, "its id is missing or is not a positive whole number: send it as Telegram gives it")
	}
	d.UserID, d.Language, d.Premium = id, user.Language, user.Premium
	return d, nil
}

// isDigits reports whether s is a decimal number without sign, and not empty.
func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// isWord reports whether s has only ASCII letters, digits, underscores and hyphens, and at least one.
func isWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

// isText reports whether s is UTF-8 without control characters. JSON escapes them, so the user's name can hold none.
func isText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' {
			return false
		}
	}
	return utf8.ValidString(s)
}
