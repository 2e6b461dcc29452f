package reward

import (
	"math/bits"

	"carom"
)

// price is a carom.PriceRule that was checked.
type price struct {
	from        string
	fixed       carom.Nanos
	rate, share uint64 // billionths
	min, max    uint64 // nanos, multiples of step
	step        uint64 // nanos
	round       string
	trustSecret bool
}

// compilePrice makes the price ready. unit is the smallest amount of its currency.
func compilePrice(p *carom.PriceRule, unit carom.Nanos) price {
	return price{
		from: p.From, fixed: p.Fixed.Nanos, rate: uint64(p.Rate), share: uint64(p.Share), min: uint64(p.Min.Nanos),
		max: uint64(p.Max.Nanos), step: uint64(max(p.Step, unit)), round: p.Round, trustSecret: p.TrustSecret,
	}
}

// scale is what two factors in billionths, rate and share, multiply an amount by too much.
const scale = 1_000_000_000 * 1_000_000_000

// of returns amount × rate × share, bounded and rounded, for an amount that is not negative.
//
// The product has up to 63 + 63 + 30 bits. It is kept whole, in three words, and only the quotient is rounded: exactly once,
// with the remainder at hand. Since min and max are multiples of the step, rounding cannot leave them.
func (p *price) of(amount carom.Nanos) carom.Nanos {
	hi, lo := bits.Mul64(uint64(amount), p.rate)
	carry, w0 := bits.Mul64(lo, p.share)
	w2, w1 := bits.Mul64(hi, p.share)
	w1, over := bits.Add64(w1, carry, 0)
	w2 += over

	// Each remainder is below scale, which is what Div64 needs; w2 has 28 bits at most.
	q1, rest := bits.Div64(w2, w1, scale)
	q0, rest := bits.Div64(rest, w0, scale)
	if q1 != 0 || q0 >= p.max {
		return carom.Nanos(p.max)
	}
	steps, left := q0/p.step, q0%p.step
	switch p.round {
	case carom.RoundUp:
		if left != 0 || rest != 0 {
			steps++
		}
	case carom.RoundNearest:
		// The exact remainder is left + rest/scale. Its double is compared with the step; where left alone is half a nano short
		// of half a step, the fraction decides.
		if 2*left >= p.step || 2*left+1 == p.step && 2*rest >= scale {
			steps++
		}
	}
	return carom.Nanos(max(steps*p.step, p.min))
}
