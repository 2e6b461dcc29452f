package reward

import (
	"math"
	"math/big"
	"testing"

	"carom"
)

// exactly works a price out with math/big, another way: as a fraction, rounded and then bounded.
func exactly(p *price, amount carom.Nanos) carom.Nanos {
	product := new(big.Int).Mul(big.NewInt(int64(amount)), new(big.Int).Mul(new(big.Int).SetUint64(p.rate), new(big.Int).SetUint64(p.share)))
	steps := new(big.Rat).SetFrac(product, new(big.Int).Mul(big.NewInt(scale), new(big.Int).SetUint64(p.step)))
	whole, rest := new(big.Int).QuoRem(steps.Num(), steps.Denom(), new(big.Int))
	up := false
	switch p.round {
	case carom.RoundUp:
		up = rest.Sign() > 0
	case carom.RoundNearest:
		up = new(big.Int).Lsh(rest, 1).Cmp(steps.Denom()) >= 0
	}
	if up {
		whole.Add(whole, big.NewInt(1))
	}
	whole.Mul(whole, new(big.Int).SetUint64(p.step))
	switch lowest, highest := new(big.Int).SetUint64(p.min), new(big.Int).SetUint64(p.max); {
	case whole.Cmp(highest) > 0:
		return carom.Nanos(p.max)
	case whole.Cmp(lowest) < 0:
		return carom.Nanos(p.min)
	}
	return carom.Nanos(whole.Int64())
}

func TestPrice(t *testing.T) {
	const (
		unit = 1_000_000_000
		most = math.MaxInt64 / unit * unit
	)
	tests := []struct {
		name   string
		price  price
		amount carom.Nanos
		want   carom.Nanos
	}{
		{"as it is", price{rate: unit, share: unit, max: most, step: 1}, 2_300_000, 2_300_000},
		{"coins for dollars, half of it", price{rate: 1000 * unit, share: unit / 2, max: most, step: unit}, 2_300_000, unit},
		{"down", price{rate: unit, share: unit, max: most, step: unit}, 2*unit - 1, unit},
		{"up", price{rate: unit, share: unit, max: most, step: unit, round: carom.RoundUp}, unit + 1, 2 * unit},
		{"up, of nothing", price{rate: unit, share: unit, max: most, step: unit, round: carom.RoundUp}, 0, 0},
		{"up, by what no nano shows", price{rate: 1, share: 1, max: most, step: unit, round: carom.RoundUp}, 1, unit},
		{"half is away from zero", price{rate: unit, share: unit, max: most, step: unit, round: carom.RoundNearest}, unit / 2, unit},
		{"below half", price{rate: unit, share: unit, max: most, step: unit, round: carom.RoundNearest}, unit/2 - 1, 0},
		{"half of an odd step", price{rate: unit / 2, share: unit, max: 9, step: 3, round: carom.RoundNearest}, 3, 3},
		{"just below half of an odd step", price{rate: unit/2 - 1, share: unit, max: 9, step: 3, round: carom.RoundNearest}, 3, 0},
		{"to the minimum", price{rate: unit, share: unit, min: 2 * unit, max: most, step: unit}, 1, 2 * unit},
		{"to the maximum", price{rate: unit, share: unit, max: 5 * unit, step: unit}, 6 * unit, 5 * unit},
		{"up, at the maximum", price{rate: unit, share: unit, max: 5 * unit, step: unit, round: carom.RoundUp}, 5*unit + 1, 5 * unit},
		{"the least rate and share of the greatest price", price{rate: 1, share: 1, max: most, step: 1}, carom.MaxPrice, 0},
		{"the least rate of the greatest price", price{rate: 1, share: unit, max: most, step: 1}, carom.MaxPrice, 1_000_000},
		{"everything at its greatest", price{rate: math.MaxInt64, share: unit, max: most, step: 1}, math.MaxInt64, most},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.price.of(tt.amount); got != tt.want {
				t.Errorf("%+v of %d = %d, want %d", tt.price, tt.amount, got, tt.want)
			}
			if want := exactly(&tt.price, tt.amount); want != tt.want {
				t.Errorf("the fraction gives %d, want %d", want, tt.want)
			}
		})
	}
}

// TestSharesAddUp: what is paid in many parts at the extremes is, to the last billionth, what it should be.
func TestSharesAddUp(t *testing.T) {
	p := price{rate: 1, share: 999_999_999, max: math.MaxInt64, step: 1}
	sum := new(big.Int)
	for range 100_000 {
		sum.Add(sum, big.NewInt(int64(p.of(carom.MaxPrice))))
	}
	// 10^15 × 10^-9 × 0.999999999 is 999,999.999 nanos, of which the whole ones are paid.
	if want := big.NewInt(100_000 * 999_999); sum.Cmp(want) != 0 {
		t.Errorf("the sum is %s, want %s", sum, want)
	}
}

// FuzzPrice compares with math/big over everything that a checked rule can hold.
func FuzzPrice(f *testing.F) {
	f.Add(int64(carom.MaxPrice), int64(1), int64(1_000_000_000), int64(0), int64(math.MaxInt64), int64(1), uint8(0))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), int64(1_000_000_000), int64(3), int64(99), int64(3), uint8(1))
	f.Add(int64(3), int64(500_000_000), int64(1_000_000_000), int64(0), int64(9), int64(3), uint8(2))
	f.Add(int64(5), int64(1_000_000_000), int64(700_000_000), int64(0), int64(7_000), int64(7), uint8(2))
	f.Fuzz(func(t *testing.T, amount, rate, share, lowest, highest, step int64, round uint8) {
		step = max(step&math.MaxInt64, 1)
		highest = highest & math.MaxInt64 / step * step
		lowest = min(lowest&math.MaxInt64/step*step, highest)
		if highest == 0 {
			return
		}
		p := price{
			rate: uint64(max(rate&math.MaxInt64, 1)), share: uint64(share&math.MaxInt64%1_000_000_000 + 1), min: uint64(lowest), max: uint64(highest),
			step: uint64(step), round: []string{carom.RoundDown, carom.RoundNearest, carom.RoundUp}[round%3],
		}
		said := carom.Nanos(amount & math.MaxInt64)
		if got, want := p.of(said), exactly(&p, said); got != want {
			t.Errorf("%+v of %d = %d, want %d", p, said, got, want)
		}
	})
}
