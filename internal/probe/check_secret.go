package probe

import (
	"bytes"
	"strings"
)

const (
	fixSecret = "Compare the secret with the configured one in constant time, answer 403 when it differs, and refuse to start without one."
	openDoor  = "A forged postback was answered with success; whether it was paid cannot be seen."
)

func checkSecretPresent(t *trial) {
	if t.tmpl.secret == "" {
		t.fail(OpenDoor, "No part of the URL looks like a secret, and the network signs nothing: whoever learns the URL pays himself.",
			"Put a long random parameter, such as token, into the URL at the network, and check it; --secret-param names it here.")
	}
}

// forge sends a paid event with something wrong about its secret.
func (t *trial) forge(what string, change func(*postback)) {
	if t.tmpl.secret == "" {
		t.skip("The URL has no secret.")
		return
	}
	acc := t.account()
	p := t.view(acc, t.pays, valued)
	change(p)
	a := t.send(p)
	switch {
	case a.phase == phaseEnded:
		t.unknown("The run was ended before the answer came.")
	case a.err != nil || a.status/100 == 5:
		t.warn("A postback with "+what+" broke the receiver instead of being refused.", fixSecret)
	case !a.ok():
		return
	case t.paid[t.pays] == nil && bytes.Equal(a.body, t.genuine.body):
		t.fail(OpenDoor, "A postback with "+what+" is answered exactly like a genuine one: either everybody can be paid, or a mistyped secret loses every event unseen.", fixSecret)
		return
	}
	t.later(func() {
		if !t.provable(openDoor) {
			return
		}
		got, ok := t.credit(acc)
		switch {
		case !ok:
		case got.Sign() > 0:
			t.fail(OpenDoor, "A postback with "+what+" was paid: everybody can be. The books show "+amount(got)+".", fixSecret)
		case a.ok():
			t.warn("A postback with "+what+" is answered with success and not paid: should the secret at the network be mistyped, every event is lost unseen.", fixSecret)
		}
	})
}

func checkSecretForged(t *trial) {
	secret := forged(t.tmpl.secret)
	t.forge("a wrong secret", func(p *postback) { p.secret = &secret })
}

// forged is a secret of the same length that differs in its last character.
func forged(secret string) string {
	if secret == "" {
		return ""
	}
	last := "0"
	if strings.HasSuffix(secret, last) {
		last = "1"
	}
	return secret[:len(secret)-1] + last
}

func checkSecretEmpty(t *trial) {
	if t.tmpl.secret != "" && t.tmpl.secretParam == "" {
		t.skip("The secret is in the path, where an empty one is a missing one.")
		return
	}
	empty := ""
	t.forge("an empty secret", func(p *postback) { p.secret = &empty })
}

func checkSecretMissing(t *trial) {
	empty := ""
	t.forge("no secret", func(p *postback) { p.dropSecret, p.secret = true, &empty })
}
