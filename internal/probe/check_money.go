package probe

import (
	"fmt"
	"math/big"
)

const fixAmount = "Let the app fix what a view pays; at the least bound what one postback may pay, and take nothing below zero."

// priced sends a paid event with a price and returns whom it is for.
func (t *trial) priced(price string) (*account, answer) {
	acc := t.account()
	return acc, t.send(t.view(acc, t.pays, valued).with("estimated_price", price))
}

// checkPriceDouble learns whether the receiver pays by the price.
func checkPriceDouble(t *trial) {
	acc, a := t.priced("0.0046")
	if !t.accepted(&a, "a paid event of another price") || t.paid[t.pays] == nil {
		return
	}
	got, ok := t.await(acc, new(big.Rat))
	if !ok {
		return
	}
	base := t.paid[t.pays]
	t.byPrice = got.Cmp(base) != 0
	t.linear = got.Cmp(new(big.Rat).Mul(base, big.NewRat(2, 1))) == 0
	switch {
	case got.Sign() <= 0:
		t.byPrice = false
		t.fail(Loses, "An event with the price 0.0046 was not paid, and one with 0.0023 was.", "Let no exact price decide whether an event is paid.")
	case t.byPrice:
		t.pass("It pays by the network's estimated price, which is not what the network pays in the end.")
	default:
		t.pass("What a view pays does not depend on the price in the URL.")
	}
}

func checkPriceTiny(t *trial) {
	acc, a := t.priced("0.0000001")
	if !t.accepted(&a, "a paid event with a tiny price") || !t.byPrice {
		return
	}
	t.later(func() {
		got, ok := t.credit(acc)
		switch {
		case !ok || got.Sign() > 0:
		case t.linear:
			t.fail(LosesCents, "A view with the price 0.0000001 was paid nothing: prices of a view are a thousandth of what is quoted for a thousand.",
				"Count in billionths of the unit, as whole numbers, and round only when money leaves the system.")
		default:
			t.pass("A price of 0.0000001 pays nothing in whole coins.")
		}
	})
}

// checkPriceHuge takes a million times the usual pay for unbounded.
func checkPriceHuge(t *trial) {
	for _, price := range []string{"1000000000000", "1e12"} {
		acc, a := t.priced(price)
		if !t.survived(&a, "a price of "+price) {
			return
		}
		t.later(func() {
			if !t.provable("A huge price was accepted; what it paid cannot be seen.") {
				return
			}
			got, ok := t.credit(acc)
			if ok && got.Cmp(new(big.Rat).Mul(t.most(), big.NewRat(1_000_000, 1))) > 0 {
				t.fail(PaysAmounts, fmt.Sprintf("A view with the price %s was paid %s: whoever learns the URL names any amount.", price, amount(got)), fixAmount)
			}
		})
	}
}

func checkPriceNegative(t *trial) {
	acc, a := t.priced("-5")
	if !t.survived(&a, "a negative price") {
		return
	}
	t.later(func() {
		if !t.provable("A negative price was accepted; what it did cannot be seen.") {
			return
		}
		if got, ok := t.credit(acc); ok && got.Sign() < 0 {
			t.fail(PaysAmounts, fmt.Sprintf("A view with the price -5 took %s away from its user.", amount(got.Neg(got))), fixAmount)
		}
	})
}

func checkPriceWord(t *trial) {
	for _, price := range []string{"abc", "NaN", "", "0,0023"} {
		acc, a := t.priced(price)
		if !t.survived(&a, fmt.Sprintf("the price %q", price)) {
			return
		}
		if t.paid[t.pays] != nil {
			t.later(func() { _, _ = t.credit(acc) }) // decides the check when the balance is no number any more
		}
	}
}

// checkPriceExact sees floats by what they do to a sum: the same credit is another one on top of another balance.
func checkPriceExact(t *trial) {
	if !t.byPrice || t.user != "" {
		if t.provable("Whether sums are exact cannot be seen.") {
			t.pass("What a view pays does not depend on the price in the URL.")
		}
		return
	}
	fresh, a := t.priced("0.2")
	if !t.accepted(&a, "a paid event with the price 0.2") {
		return
	}
	alone, ok := t.await(fresh, new(big.Rat))
	if !ok {
		return
	}
	acc, a := t.priced("0.1")
	if !t.accepted(&a, "a paid event with the price 0.1") {
		return
	}
	before, ok := t.await(acc, new(big.Rat))
	if !ok {
		return
	}
	if a := t.send(t.another(acc, t.pays, valued).with("estimated_price", "0.2")); !t.accepted(&a, "a second view of the user") {
		return
	}
	t.later(func() {
		got, ok := t.credit(acc)
		if !ok || got.Cmp(before) <= 0 { // the second view was not paid, which is another check's business
			return
		}
		if added := new(big.Rat).Sub(got, before); added.Cmp(alone) != 0 {
			t.fail(Floats, fmt.Sprintf("The price 0.2 adds %s to an empty balance and %s to another: sums drift, and will never match the network's.", amount(alone), amount(added)),
				"Count in billionths of the unit, as whole numbers.")
		}
	})
}
