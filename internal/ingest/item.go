package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"carom"
)

// item is one reported event as a trusted server writes it. Unknown keys are faults: a misspelt one must not be lost.
type item struct {
	ID              text       `json:"id"`
	App             text       `json:"app"`
	Source          text       `json:"source"`
	EventType       text       `json:"event_type"`
	RewardEventType text       `json:"reward_event_type"`
	YMID            text       `json:"ymid"`
	ZoneID          text       `json:"zone_id"`
	SubZoneID       text       `json:"sub_zone_id"`
	RequestVar      text       `json:"request_var"`
	TelegramID      text       `json:"telegram_id"`
	UserID          text       `json:"user_id"`
	EstimatedPrice  text       `json:"estimated_price"`
	Reverses        text       `json:"reverses"`
	Fields          itemFields `json:"fields"`
	Test            bool       `json:"test"`
}

// text is a JSON string, or a number, whose digits are kept as they are written: ids often come as numbers.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	switch {
	case len(b) > 0 && b[0] == '"':
		return json.Unmarshal(b, (*string)(t))
	case bytes.Equal(b, []byte("null")):
		return nil
	case len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9'):
		*t = text(b)
		return nil
	}
	return &json.UnmarshalTypeError{Value: kindOf(b)} // to which the decoder adds the field
}

// kindOf names what a JSON text is.
func kindOf(b []byte) string {
	switch b[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "text"
	case 't', 'f':
		return "true or false"
	}
	return "number"
}

// itemFields keeps further fields in the order in which they were written.
type itemFields []carom.Field

// UnmarshalJSON implements json.Unmarshaler.
func (f *itemFields) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return &json.UnmarshalTypeError{Value: kindOf(b)}
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		value, err := dec.Token()
		if err != nil {
			return err
		}
		var s string
		switch v := value.(type) {
		case string:
			s = v
		case json.Number:
			s = v.String()
		case bool:
			s = fmt.Sprint(v)
		case nil:
			continue
		default:
			return carom.Invalid("fields."+clip(name.(string)), "it holds an object or a list: send a text, or the JSON of it as a text")
		}
		*f = append(*f, carom.Field{Name: name.(string), Value: s}) // an object's keys are strings
	}
	return nil
}

func parseItem(raw json.RawMessage) (item, error) {
	var it item
	if !utf8.Valid(raw) {
		return it, carom.Invalid("", "the event is not valid UTF-8: encode it so")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err := dec.Decode(&it)
	if err == nil {
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return it, carom.Invalid("", "something follows the event: send one event a line, or an array")
		}
		// The decoder puts U+FFFD where an escape is half a character.
		if bytes.Contains(raw, []byte(`\u`)) && !bytes.Contains(raw, []byte("\uFFFD")) && it.holds("\uFFFD") {
			return it, carom.Invalid("", "the event has an escape that is half a character: escape both halves, or none")
		}
		return it, nil
	}
	var fault *carom.FieldError
	if errors.As(err, &fault) {
		return it, fault
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return it, carom.Invalid(wrong.Field, "%s cannot stand here: %s", wrong.Value, expected(wrong.Field))
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = strings.Trim(name, `"`)
		return it, carom.Invalid(clip(name), "there is no such field: put what is your own under \"fields\"")
	}
	return it, carom.Invalid("", "the event is not valid JSON: %s", err)
}

// expected says what a field holds.
func expected(field string) string {
	switch field {
	case "":
		return "send one JSON object for each event"
	case "test":
		return "send true or false"
	case "fields":
		return `send an object of texts, such as {"level": "7"}`
	}
	return "send a text or a number"
}

// holds reports whether any text of the item contains part.
func (it *item) holds(part string) bool {
	for _, t := range []text{it.ID, it.App, it.Source, it.EventType, it.RewardEventType, it.YMID, it.ZoneID, it.SubZoneID, it.RequestVar,
		it.TelegramID, it.UserID, it.EstimatedPrice, it.Reverses} {
		if strings.Contains(string(t), part) {
			return true
		}
	}
	return slices.ContainsFunc(it.Fields, func(f carom.Field) bool {
		return strings.Contains(f.Name, part) || strings.Contains(f.Value, part)
	})
}

// clip shortens text from outside for an answer, between characters.
func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Limits of an item's texts, in bytes.
const (
	maxText       = 256
	maxFields     = 100
	maxFieldName  = 128
	maxFieldValue = 4096
)

// event checks the item and makes an event of it. A trusted server is told of every mistake rather than guessed at.
func (it *item) event(src *source) (*carom.Event, error) {
	for _, f := range []struct {
		name  string
		value text
	}{
		{"id", it.ID}, {"event_type", it.EventType}, {"reward_event_type", it.RewardEventType}, {"ymid", it.YMID}, {"zone_id", it.ZoneID},
		{"sub_zone_id", it.SubZoneID}, {"request_var", it.RequestVar}, {"telegram_id", it.TelegramID},
		{"user_id", it.UserID}, {"reverses", it.Reverses},
	} {
		if err := checkText(f.name, string(f.value), maxText); err != nil {
			return nil, err
		}
	}
	if it.ID == "" {
		return nil, carom.Invalid("id", "it is missing: give each event an id of your own, the same one when you repeat it")
	}
	ev := &carom.Event{
		App: src.App, Source: src.Name, Network: carom.ProfileAPI, ExternalID: string(it.ID), YMID: string(it.YMID), ZoneID: string(it.ZoneID),
		SubZoneID: string(it.SubZoneID), RequestVar: string(it.RequestVar), TelegramID: string(it.TelegramID), UserID: string(it.UserID),
		Fields: it.Fields, Strength: carom.Secret,
	}
	if it.Test {
		ev.Flags |= carom.FlagTest
	}
	var err error
	if ev.Type, err = it.eventType(src); err != nil {
		return nil, err
	}
	switch v := carom.RewardEventType(it.RewardEventType); v {
	case carom.Valued, carom.NotValued, carom.ValueEmpty:
		ev.Value = v
	default:
		return nil, carom.Invalid("reward_event_type", "%q is none of valued, not_valued; leave it out when you do not know", clip(string(v)))
	}
	if err := it.price(ev); err != nil {
		return nil, err
	}
	switch {
	case it.Reverses != "" && ev.Type != carom.Reversal:
		return nil, carom.Invalid("reverses", "only an event of type reversal takes another back: leave it out, or send event_type reversal")
	case it.Reverses != "":
		if err := it.checkFields(); err != nil {
			return nil, err
		}
		ev.Fields = append(ev.Fields[:len(ev.Fields):len(ev.Fields)], carom.Field{Name: fieldReverses, Value: string(it.Reverses)})
	}
	return ev, it.checkFields()
}

func (it *item) eventType(src *source) (carom.EventType, error) {
	word := string(it.EventType)
	if word == "" {
		if src.DefaultEventType != "" {
			return src.DefaultEventType, nil
		}
		return "", carom.Invalid("event_type", "it is missing: send impression, click, completion, reversal, or a type of your own")
	}
	if mapped, ok := src.EventTypes[word]; ok {
		return mapped, nil
	}
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" || len(word) > 63 { // as in an objects file
		return "", carom.Invalid("event_type", "%q may hold lower-case letters, digits, - and _ only, 63 at most", clip(word))
	}
	return carom.EventType(word), nil
}

func (it *item) price(ev *carom.Event) error {
	if it.EstimatedPrice == "" {
		return nil
	}
	n, truncated, err := carom.ParseNanos(string(it.EstimatedPrice))
	switch {
	case err != nil:
		return carom.Invalid("estimated_price", "it is not a decimal number such as 0.0023")
	case n < 0:
		return carom.Invalid("estimated_price", "it is negative: report a reversal as an event of type reversal")
	case n > carom.MaxPrice:
		return carom.Invalid("estimated_price", "it is above %s: report each event by itself", carom.MaxPrice)
	case truncated:
		ev.Flags |= carom.FlagPriceTruncated
	}
	ev.Price = carom.Price{Nanos: n, Set: true}
	return nil
}

func (it *item) checkFields() error {
	if len(it.Fields) > maxFields {
		return carom.Invalid("fields", "there are %d of them: at most %d are kept", len(it.Fields), maxFields)
	}
	for i, f := range it.Fields {
		where := "fields." + clip(f.Name)
		if f.Name == "" || len(f.Name) > maxFieldName {
			return carom.Invalid(where, "a field's name has 1 to %d bytes", maxFieldName)
		}
		if slices.ContainsFunc(it.Fields[:i], func(o carom.Field) bool { return o.Name == f.Name }) {
			return carom.Invalid(where, "it comes twice")
		}
		if err := checkText(where, f.Name, maxFieldName); err != nil {
			return err
		}
		if err := checkText(where, f.Value, maxFieldValue); err != nil {
			return err
		}
	}
	return nil
}

func checkText(field, value string, limit int) error {
	switch {
	case len(value) > limit:
		return carom.Invalid(field, "it is longer than %d bytes", limit)
	case strings.ContainsRune(value, 0) || !utf8.ValidString(value):
		return carom.Invalid(field, "it holds a NUL or is not valid UTF-8")
	}
	return nil
}
