package probe

// checkDocumentedSample sends the network's own sample: it names its parameters differently from its macros, and has no value.
func checkDocumentedSample(t *trial) {
	if !t.tmpl.added {
		t.skip("The URL names its parameters itself, so the network never sends them as its documentation prints them.")
		return
	}
	p := t.view(t.account(), click, "").with("request_var", "bonus-btn")
	p.query = append(t.tmpl.fixed(), split("ymid={ymid}&event={event_type}&zone_id={zone_id}&request_var={request_var}")...)
	a := t.send(p)
	t.accepted(&a, "the documented sample")
}

// checkPaidWords: the documentation, the dashboard and older code disagree about the word. Not to pay for another one is
// right where only one can come, so only the answer counts.
func checkPaidWords(t *trial) {
	for _, word := range []string{"yes", "1"} {
		acc := t.account()
		a := t.send(t.view(acc, t.pays, word))
		if !t.accepted(&a, "a paid event that says "+word) {
			return
		}
		t.later(func() {
			if t.paid[t.pays] == nil {
				return
			}
			if got, ok := t.credit(acc); ok && got.Sign() <= 0 {
				t.pass("Events with these words are not repeated, and not all are paid. That is right as long as the zone says valued: look at its first real postbacks.")
			}
		})
	}
}

func checkUnpaidWords(t *trial) {
	for _, word := range []string{notValued, "non_valued", "no", "0"} {
		acc := t.account()
		a := t.send(t.view(acc, t.pays, word))
		if !t.accepted(&a, "an unpaid event ("+word+")") {
			return
		}
		t.never(acc, PaysUnpaid, "Unpaid events were accepted; whether they were paid cannot be seen.",
			"An event for which the network pays nothing ("+word+") was paid.", "Pay for reward_event_type valued and for nothing else.")
	}
}

func checkUnknownWord(t *trial) {
	acc := t.account()
	a := t.send(t.view(acc, t.pays, "partly_valued"))
	if t.survived(&a, "an unknown value") {
		t.never(acc, PaysUnpaid, "An unknown word was accepted; whether it was paid cannot be seen.",
			"A word that means nothing (partly_valued) was paid: everything is that is not expressly unpaid.",
			"Pay for reward_event_type valued and for nothing else.")
	}
}

func checkNoValue(t *trial) {
	acc := t.account()
	a := t.send(t.view(acc, t.pays, ""))
	if t.survived(&a, "an empty value") {
		t.never(acc, PaysUnpaid, "An event without a value was accepted; whether it was paid cannot be seen.",
			"An event was paid that does not say that the network pays for it.", "Pay for reward_event_type valued and for nothing else.")
	}
}
