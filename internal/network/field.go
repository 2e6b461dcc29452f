package network

import "strings"

// field is a place that a profile can fill from a parameter or a header.
type field uint8

const (
	fieldYMID field = iota
	fieldZoneID
	fieldSubZoneID
	fieldRequestVar
	fieldTelegramID
	fieldUserID
	fieldTransactionID
	fieldEventType
	fieldValue
	fieldPrice
	fieldAmount
	fieldItem
	fieldSignature // proof, not part of the event: what a block compares
	fieldSecret    // proof, not part of the event, and never kept
	fieldCount
)

// String is the field's name in profiles, refusals and JSON.
func (f field) String() string {
	return [fieldCount]string{
		"ymid", "zone_id", "sub_zone_id", "request_var", "telegram_id", "user_id", "transaction_id", "event_type",
		"reward_event_type", "estimated_price", "reward_amount", "reward_item", "signature", "secret",
	}[f]
}

// proof reports whether f serves verification alone.
func (f field) proof() bool { return f == fieldSignature || f == fieldSecret }

// fieldNamed finds the field called name.
func fieldNamed(name string) (field, bool) {
	for f := range fieldCount {
		if f.String() == name {
			return f, true
		}
	}
	return 0, false
}

// fieldSet is a set of fields.
type fieldSet uint32

func setOf(fields ...field) fieldSet {
	var s fieldSet
	for _, f := range fields {
		s |= 1 << f
	}
	return s
}

func (s fieldSet) has(f field) bool { return s&(1<<f) != 0 }

// names lists the set in the order of the fields.
func (s fieldSet) names() []string {
	names := make([]string, 0, fieldCount)
	for f := range fieldCount {
		if s.has(f) {
			names = append(names, f.String())
		}
	}
	return names
}

func (s fieldSet) String() string {
	if s == 0 {
		return "nothing"
	}
	return strings.Join(s.names(), ", ")
}

// mapped holds what arrived for the fields that the profile maps. An empty value is an absent one.
type mapped struct {
	values [fieldCount]string
	from   [fieldCount]string // the parameter that the value came in
}

// transform is what is done to a field's text before it is used. The steps run in the order of the fields here.
type transform struct {
	Trim        bool   `yaml:"trim"`
	StripPrefix string `yaml:"strip_prefix"`
	Lower       bool   `yaml:"lower"`
	IntTruncate bool   `yaml:"int_truncate"`
}

func (t *transform) apply(text string) string {
	if t.Trim {
		text = strings.TrimSpace(text)
	}
	text = strings.TrimPrefix(text, t.StripPrefix)
	if t.Lower {
		text = strings.ToLower(text)
	}
	if t.IntTruncate {
		text = truncate(text)
	}
	return text
}

// truncate cuts a decimal number down to its whole part, as a cast to an integer does: "5.9" is "5", "-0.5" is "0", "007" is
// "7". Text that is no plain decimal stays as it is.
func truncate(text string) string {
	digits, negative := strings.CutPrefix(text, "-")
	whole, part, _ := strings.Cut(digits, ".")
	if whole+part == "" || strings.Trim(whole+part, "0123456789") != "" {
		return text
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		return "0"
	}
	if negative {
		return "-" + whole
	}
	return whole
}
