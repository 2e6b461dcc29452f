package ads

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"carom"
)

// maxIDBytes bounds the id of an ad server's creative, which stands in tokens and events.
const maxIDBytes = 128

// offer is an ad as an ad server wrote it: of the right types, and of unknown worth.
type offer struct {
	id, title, image, html, landingURL string
	width, height, closeAfterMS        int
	perImpression, perClick            string // decimal numbers, or anything else
}

// readAnswer reads the body of an ad server's answer. It returns nil when the ad server has no ad, and an error when the body
// is not what an ad server answers.
//
// Members that it does not know are left aside, so that ad servers may say more than this version reads. null is as good as
// absent.
func readAnswer(body []byte) (*offer, error) {
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the answer is not a JSON object: %w", err)
	}
	creative, ok := answer["creative"]
	switch {
	case !ok:
		return nil, carom.Invalid("creative", "it is missing: answer with an ad in it, with null, or with status 204")
	case string(creative) == "null":
		return nil, nil
	}
	var m members
	if err := json.Unmarshal(creative, &m.raw); err != nil {
		return nil, carom.Invalid("creative", "it is not a JSON object: write the members of the ad into it, or null")
	}
	o := &offer{
		id: m.text("id"), title: m.text("title"), image: m.text("image"), html: m.text("html"), landingURL: m.text("landing_url"),
		width: m.number("width"), height: m.number("height"), closeAfterMS: m.number("close_after_ms"),
		perImpression: m.decimal("price_per_impression"), perClick: m.decimal("price_per_click"),
	}
	if len(m.faults) > 0 {
		return nil, errors.Join(m.faults...)
	}
	return o, nil
}

// members reads the members of a JSON object, by their exact names.
type members struct {
	raw    map[string]json.RawMessage
	faults faults
}

func (m *members) text(name string) (s string) {
	if raw, ok := m.raw[name]; ok && json.Unmarshal(raw, &s) != nil {
		m.faults.add("creative."+name, "it is not a text: write it in quotes")
	}
	return s
}

func (m *members) number(name string) (n int) {
	if raw, ok := m.raw[name]; ok && json.Unmarshal(raw, &n) != nil {
		m.faults.add("creative."+name, "it is not a whole number: write one, without quotes")
	}
	return n
}

// decimal returns a number as it is written, in quotes or without. No float comes near it.
func (m *members) decimal(name string) string {
	raw, ok := m.raw[name]
	switch {
	case !ok || string(raw) == "null":
		return "0"
	case raw[0] == '"':
		return m.text(name)
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return string(raw)
	}
	m.faults.add("creative."+name, `it is not a price: write a decimal number such as "0.002"`)
	return ""
}

// ad judges an offer like a creative of the house that has this one format. It returns an error when the ad may not be shown.
func (o *offer) ad(format carom.Format, maxPrice carom.Nanos) (*Ad, error) {
	var f faults
	f.addFault("id", lineFault(o.id, maxIDBytes))
	var closeAfter time.Duration
	if most := int(MaxCloseAfter.Milliseconds()); o.closeAfterMS >= 0 && o.closeAfterMS <= most {
		closeAfter = time.Duration(o.closeAfterMS) * time.Millisecond
	} else {
		f.add("close_after_ms", "%d is not from 0 to %d milliseconds: choose one in between", o.closeAfterMS, most)
	}
	c := carom.Creative{
		Name: o.id, Title: o.title, Formats: []carom.Format{format},
		Image: o.image, HTML: o.html, Width: o.width, Height: o.height, LandingURL: o.landingURL, CloseAfter: closeAfter,
		PerImpression: f.amount("price_per_impression", o.perImpression, maxPrice),
		PerClick:      f.amount("price_per_click", o.perClick, maxPrice),
	}
	if err := CheckCreative(&c); err != nil {
		f = append(f, err)
	}
	if len(f) > 0 {
		return nil, errors.Join(f...)
	}
	ad := adOf(&c, format)
	ad.FromServer = true
	return ad, nil
}

// amount reads a price. What stands behind its ninth decimal is cut. One that has a fault is returned as zero.
func (f *faults) amount(field, s string, most carom.Nanos) carom.Nanos {
	n, _, err := carom.ParseNanos(s)
	if err != nil {
		f.add(field, `%s is no price up to %s: write a decimal number such as "0.002"`, quote(s), most)
		return 0
	}
	before := len(*f)
	if f.price(field, n, most); len(*f) > before {
		return 0
	}
	return n
}
