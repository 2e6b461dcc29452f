package reconcile

import (
	"cmp"
	"fmt"
	"math/big"
	"strings"

	"carom"
)

const unit = 1_000_000_000

// Money is a sum of amounts: whole units and billionths beyond them. The zero value is nothing. It cannot overflow in practice:
// 9 x 10^18 units are beyond every currency.
type Money struct {
	units int64
	nanos int64 // from 0 to 999,999,999
}

// MoneyOf makes Money of sums of units and of nanos, which may have any sign.
func MoneyOf(units, nanos int64) Money {
	units, nanos = units+nanos/unit, nanos%unit
	if nanos < 0 {
		units, nanos = units-1, nanos+unit
	}
	return Money{units, nanos}
}

func moneyOf(n carom.Nanos) Money { return MoneyOf(0, int64(n)) }

func (m Money) plus(o Money) Money  { return MoneyOf(m.units+o.units, m.nanos+o.nanos) }
func (m Money) minus(o Money) Money { return MoneyOf(m.units-o.units, m.nanos-o.nanos) }
func (m Money) negative() Money     { return MoneyOf(-m.units, -m.nanos) }

func (m Money) sign() int {
	switch {
	case m.units < 0:
		return -1
	case m == Money{}:
		return 0
	}
	return 1
}

func (m Money) compare(o Money) int {
	return cmp.Or(cmp.Compare(m.units, o.units), cmp.Compare(m.nanos, o.nanos))
}

// String writes the amount as a plain decimal without trailing zeros: "0.0023", "-1", "0".
func (m Money) String() string {
	sign := ""
	if m.sign() < 0 {
		sign, m = "-", m.negative()
	}
	text := fmt.Sprintf("%s%d", sign, m.units)
	if m.nanos > 0 {
		text += strings.TrimRight(fmt.Sprintf(".%09d", m.nanos), "0")
	}
	return text
}

// big is the amount in billionths.
func (m Money) big() *big.Int {
	n := new(big.Int).Mul(big.NewInt(m.units), big.NewInt(unit))
	return n.Add(n, big.NewInt(m.nanos))
}

// fromBig makes Money of billionths. ok is false when they are beyond what Money holds.
func fromBig(n *big.Int) (m Money, ok bool) {
	units, nanos := new(big.Int).DivMod(n, big.NewInt(unit), new(big.Int))
	return Money{units.Int64(), nanos.Int64()}, units.IsInt64()
}

// share is m * part / whole, cut to billionths; nothing when whole is 0, or when it is beyond what Money holds.
func (m Money) share(part, whole int64) Money {
	if whole == 0 {
		return Money{}
	}
	n := m.big()
	n.Mul(n, big.NewInt(part))
	if out, ok := fromBig(n.Quo(n, big.NewInt(whole))); ok {
		return out
	}
	return Money{}
}

// Rate is how many units of our currency one unit of theirs is.
type Rate struct {
	nanos carom.Nanos
	text  string
}

// ParseRate reads a rate, "1.0842". It returns a carom.FieldError unless it is a decimal number above zero with at most nine
// decimals.
func ParseRate(text string) (Rate, error) {
	n, truncated, err := carom.ParseNanos(text)
	if err != nil || truncated || n <= 0 {
		return Rate{}, carom.Invalid("rate", "%.40q is no rate: give a decimal number above zero with at most nine decimals, such as 1.0842", text)
	}
	return Rate{n, n.String()}, nil
}

// convert is the amount in our currency, rounded to the nearest billionth, halves away from zero.
func (r Rate) convert(m Money) (Money, bool) {
	n := m.big()
	n.Mul(n, big.NewInt(int64(r.nanos)))
	half := big.NewInt(unit / 2)
	if n.Sign() < 0 {
		half.Neg(half)
	}
	return fromBig(n.Add(n, half).Quo(n, big.NewInt(unit)))
}
