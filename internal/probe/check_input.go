package probe

import (
	"net/http"
	"strings"
)

func checkNoYMID(t *trial) {
	p := t.view(t.account(), t.pays, valued)
	p.drop = []string{"ymid"}
	if a := t.send(p); !t.survived(&a, "a postback without a ymid") {
		return
	}
	a := t.send(p.with("ymid", "").undropped())
	t.survived(&a, "an empty ymid")
}

// undropped is a copy that leaves no macro away.
func (p *postback) undropped() *postback {
	c := *p
	c.drop = nil
	return &c
}

func checkNoEventType(t *trial) {
	p := t.view(t.account(), t.pays, valued)
	p.drop = []string{"event_type"}
	if a := t.send(p); !t.survived(&a, "a postback without an event type") {
		return
	}
	a := t.send(p.as("", valued).undropped())
	t.survived(&a, "an empty event type")
}

const (
	openMacro = "A macro as text was accepted; whether it was paid cannot be seen."
	fixMacro  = "Answer 200 to a value that begins with { and ends with }, and do not pay it; correct the URL at the network."
)

func checkLiteralYMID(t *trial) {
	acc := t.newAccount()
	acc.YMID = "{ymid}"
	if t.user == "" {
		acc.User = acc.YMID
	}
	w := t.watch(acc)
	if a := t.send(t.view(w, t.pays, valued)); !t.survived(&a, "{ymid} as text") {
		return
	}
	t.never(w, PaysMacros, openMacro, "A postback was paid whose ymid is the text {ymid}: nobody's view, and the same for all.", fixMacro)
}

func checkLiteralValue(t *trial) {
	acc := t.account()
	if a := t.send(t.view(acc, t.pays, "{reward_event_type}")); !t.survived(&a, "{reward_event_type} as text") {
		return
	}
	t.never(acc, PaysMacros, openMacro, "A postback was paid whose value is the text {reward_event_type}.", fixMacro)
}

// awkward are texts that have broken receivers, after a letter that makes them different from one another.
func awkward() map[string]string {
	return map[string]string{
		"letters beyond ASCII":      "ünïcode-用户-😀",
		"a percent sign":            "100%",
		"a plus sign":               "a+b",
		"spaces":                    " a b ",
		"quotes":                    `'"); --`,
		"what separates parameters": "a&b=c#d?e",
		"slashes and dots":          "../../etc",
		"angle brackets":            "<b>",
		"256 bytes":                 strings.Repeat("y", 256),
	}
}

func checkAwkwardYMID(t *trial) {
	for _, name := range sortedKeys(awkward()) {
		acc := t.account()
		if a := t.send(t.view(acc, t.pays, valued).with("ymid", awkward()[name])); !t.survived(&a, "a ymid with "+name) {
			return
		}
	}
	a := t.send(t.view(t.account(), t.pays, valued).with("ymid", "a\x00b"))
	if a.status == http.StatusBadRequest { // servers refuse a NUL before the receiver sees it
		return
	}
	t.survived(&a, "a ymid with a NUL byte")
}

func checkAwkwardLabel(t *trial) {
	for _, name := range sortedKeys(awkward()) {
		acc := t.account()
		if a := t.send(t.view(acc, t.pays, valued).with("request_var", awkward()[name])); !t.accepted(&a, "a request_var with "+name) {
			return
		}
		if t.paid[t.pays] == nil {
			continue
		}
		t.once(acc, twice, fault{Loses, "A paid event was not paid, since its request_var has " + name + ".", "Let a label decide nothing, or only a list of known ones."}, "")
	}
}
