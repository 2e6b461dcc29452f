package network

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"carom"
)

// maxDepth bounds how deep the JSON of a further field may nest.
const maxDepth = 32

// reading is how a profile's parameters are read.
type reading struct {
	plus     byte   // what a plus sign in the query stands for: a space, or itself
	bodyOnly bool   // the query is not covered by the signature over the body, so it is not read
	unwrap   string // a member of a JSON body whose own members count as the body's
}

// appendSent adds the parameters of the query, then those of a POST's body.
func (how *reading) appendSent(params []param, method, rawQuery, contentType string, body []byte) (_ []param, no *refusal) {
	if !how.bodyOnly {
		if params, no = appendQuery(params, rawQuery, how.plus); no != nil {
			return nil, no
		}
	}
	if body = bytes.TrimSpace(body); method != "POST" || len(body) == 0 {
		return params, nil
	}
	return how.appendBody(params, contentType, body)
}

func (how *reading) appendBody(params []param, contentType string, body []byte) ([]param, *refusal) {
	media, _, _ := strings.Cut(contentType, ";")
	media = fold(media)
	switch {
	case media == "application/json", strings.HasSuffix(media, "+json"), media == "" && body[0] == '{':
		return appendJSON(params, body, how.unwrap)
	case media == "application/x-www-form-urlencoded", media == "":
		return appendQuery(params, string(body), ' ')
	}
	return nil, refuse(carom.ReasonUnsupportedMedia, "the content type %q is neither a form nor JSON: send one of them", clip(media))
}

// appendJSON adds the members of a JSON object in order. Numbers keep their text, null is absent, and objects and lists
// become compact JSON text; an object called unwrap is replaced by its members.
func appendJSON(params []param, body []byte, unwrap string) ([]param, *refusal) {
	if !utf8.Valid(body) {
		return nil, refuse(carom.ReasonBadEncoding, "the JSON body is not UTF-8: encode it so")
	}
	bad := &refusal{carom.ReasonBadBody, "the body is not one JSON object: send an object of names and values"}
	// The decoder puts U+FFFD where an escape is half a character. When the body holds none, that is how one got there.
	halves := !bytes.Contains(body, []byte("\uFFFD"))
	dec := json.NewDecoder(bytes.NewReader(body))
	if begin, err := dec.Token(); err != nil || begin != json.Delim('{') {
		return nil, bad
	}
	for dec.More() {
		key, err := dec.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return nil, bad
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, bad
		}
		if string(raw) == "null" {
			continue
		}
		if name == unwrap && unwrap != "" && raw[0] == '{' {
			var no *refusal
			if params, no = appendJSON(params, raw, ""); no != nil {
				return nil, no
			}
			continue
		}
		p, no := jsonParam(name, raw)
		if no != nil {
			return nil, no
		}
		if text := p.name + p.value; strings.Contains(text, "\x00") || halves && strings.Contains(text, "\uFFFD") {
			return nil, badEncoding(name)
		}
		if params, no = appendParam(params, p); no != nil {
			return nil, no
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, bad
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, bad
	}
	return params, nil
}

// jsonParam makes a parameter of one member, whose value the decoder has found to be valid JSON.
func jsonParam(name string, raw json.RawMessage) (param, *refusal) {
	p := param{name: name, value: string(raw)}
	switch raw[0] {
	case '"':
		if p.value = p.value[1 : len(p.value)-1]; !strings.Contains(p.value, `\`) {
			break
		}
		if err := json.Unmarshal(raw, &p.value); err != nil {
			return param{}, badEncoding(name)
		}
	case '{', '[':
		if depth(raw) > maxDepth {
			return param{}, refuse(carom.ReasonBadBody, "the value of %q nests more than %d deep: flatten it", clip(name), maxDepth)
		}
		var text bytes.Buffer
		if err := json.Compact(&text, raw); err != nil {
			return param{}, refuse(carom.ReasonBadBody, "the value of %q is not JSON: correct it", clip(name))
		}
		p.value, p.nested = text.String(), true
	}
	return p, nil
}

// depth says how deep valid JSON nests.
func depth(raw []byte) int {
	most, now, quoted := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '\\':
			i++ // only strings hold backslashes, and what follows one never ends a string
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			most = max(most, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}
