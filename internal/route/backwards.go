package route

import (
	"net/url"
	"slices"
	"strings"

	"carom"
)

// Names are the parameter names of a template, read by [ReadBackwards].
type Names struct {
	// Params maps the name of a query parameter to the macro that is its value: {"uid": "ymid", "event": "event_type"}.
	Params map[string]string
	// Static are the names of parameters whose value is the same in every postback, in order. The value may be a secret.
	Static []string
}

// ReadBackwards reads the URL template that a publisher entered at the network, and says which query parameter brings which of
// Monetag's eight macros. It takes a whole URL or the query alone, with or without its question mark; braces may be
// percent-encoded. Names are percent-decoded, as they are when the postback comes in.
//
// A *carom.FieldError for the field "template" says what cannot be read: an unknown macro, with the nearest known one; a macro
// outside of the query, or one that shares its value with other text; the same parameter twice; a template without macros.
func ReadBackwards(text string) (Names, error) {
	const name = "template"
	text = strings.TrimSpace(text)
	if len(text) > maxTemplateBytes {
		return Names{}, carom.Invalid(name, "it has %d bytes: shorten it to %d", len(text), maxTemplateBytes)
	}
	front, query, isURL := strings.Cut(text, "?")
	if !isURL && !strings.Contains(text, "://") && strings.Contains(text, "=") {
		front, query = "", text
	}
	if front, err := url.PathUnescape(front); err != nil || strings.ContainsAny(front, "{}") {
		return Names{}, carom.Invalid(name, "a macro or a broken percent-encoding stands before the query: move the macro behind the ?, "+
			"as in ?uid={ymid}, here and at the network")
	}
	if strings.Contains(front, "#") || strings.Contains(query, "#") {
		return Names{}, carom.Invalid(name, "it has a fragment, which is never sent: remove # and what follows, here and at the network")
	}
	out := Names{Params: make(map[string]string)}
	for param := range strings.SplitSeq(query, "&") {
		if param == "" {
			continue
		}
		if err := out.read(param); err != nil {
			return Names{}, carom.Invalid(name, "%s", err.Message)
		}
	}
	if len(out.Params) == 0 {
		return Names{}, carom.Invalid(name, "no parameter holds a macro, so every postback would be the same: "+
			"add those you need, such as ?ymid={ymid}&event_type={event_type}&reward_event_type={reward_event_type}")
	}
	return out, nil
}

// read takes one parameter, name=value, as it stands in the template.
func (n *Names) read(param string) *carom.FieldError {
	rawName, rawValue, _ := strings.Cut(param, "=")
	name, err := url.QueryUnescape(rawName)
	if err != nil || name == "" {
		return carom.Invalid("", "a parameter has no name, or a broken percent-encoding in it: write name={macro}")
	}
	shown := clip(name)
	switch {
	case strings.ContainsAny(name, "{}"):
		return carom.Invalid("", "a macro stands in the name of a parameter, %q: write name={macro}", shown)
	case strings.HasPrefix(name, "amp;"):
		return carom.Invalid("", "&amp; stands in it, which HTML needs and a URL does not: write &")
	case n.has(name):
		return carom.Invalid("", "the parameter %q stands twice: give one of them another name, here and at the network", shown)
	}
	value, err := url.QueryUnescape(rawValue)
	if err != nil {
		return carom.Invalid("", "the value of %q has a broken percent-encoding: write a literal %% as %%25", shown)
	}
	open := strings.IndexByte(value, '{')
	if open < 0 && !strings.Contains(value, "}") {
		n.Static = append(n.Static, name)
		return nil
	}
	if open < 0 || !strings.Contains(value[open:], "}") {
		return carom.Invalid("", "the value of %q has a brace without its partner: write it as {macro}", shown)
	}
	inner := value[open+1 : open+strings.IndexByte(value[open:], '}')]
	m, _, known := lookup(inner)
	switch {
	case !known || m > numMonetag:
		return carom.Invalid("", "%s", unknownMacro(inner, numMonetag))
	case len(value) != len(inner)+2:
		return carom.Invalid("", "the value of %q is more than one macro: give {%s} a parameter of its own, here and at the network",
			shown, inner)
	}
	n.Params[name] = inner
	return nil
}

func (n *Names) has(name string) bool {
	_, ok := n.Params[name]
	return ok || slices.Contains(n.Static, name)
}
