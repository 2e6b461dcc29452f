package carom

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Nanos is an amount of money in billionths of its unit: 2,300,000 is 0.0023 USD. Floats never touch it.
type Nanos int64

// nanosPerUnit is how many Nanos one unit of the currency has.
const nanosPerUnit = 1_000_000_000

// MaxPrice bounds a single price. A network's price is an estimate for one view; a million units is a mistake or an attack.
const MaxPrice Nanos = 1_000_000 * nanosPerUnit

// Price is an amount that may be absent. The zero value is absent, which is not the same as zero.
type Price struct {
	Nanos Nanos
	Set   bool
}

// String writes the price as a plain decimal, or nothing when it is absent.
func (p Price) String() string {
	if !p.Set {
		return ""
	}
	return p.Nanos.String()
}

// String writes the amount as a plain decimal without trailing zeros: "0.0023", "-1", "0".
func (n Nanos) String() string { return string(n.Append(nil)) }

// Append writes what [Nanos.String] returns behind b, and returns the longer slice.
func (n Nanos) Append(b []byte) []byte {
	u := uint64(n)
	if n < 0 {
		b, u = append(b, '-'), -u
	}
	b = strconv.AppendUint(b, u/nanosPerUnit, 10)
	frac := u % nanosPerUnit
	if frac == 0 {
		return b
	}
	b = append(b, '.')
	for unit := uint64(nanosPerUnit / 10); frac > 0; unit /= 10 {
		b = append(b, '0'+byte(frac/unit))
		frac %= unit
	}
	return b
}

// ParseNanos reads a decimal number with an optional exponent, exactly: "0.0023", "2.3e-3", "-4".
//
// More than nine decimals are cut, and truncated says so. It returns ErrInvalid for anything that is no such number, and
// for amounts beyond what Nanos can hold.
func ParseNanos(s string) (n Nanos, truncated bool, err error) {
	bad := func(why string) (Nanos, bool, error) {
		return 0, false, fmt.Errorf("%q is not a decimal number: %s: %w", clip(s), why, ErrInvalid)
	}
	rest := s
	neg := false
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		neg, rest = rest[0] == '-', rest[1:]
	}
	mantissa, exponent := rest, 0
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		mantissa = rest[:i]
		var ok bool
		if exponent, ok = parseExponent(rest[i+1:]); !ok {
			return bad("its exponent is not a small whole number")
		}
	}
	whole, frac, _ := strings.Cut(mantissa, ".")
	digits := whole + frac
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return bad("only digits, one point and one exponent may stand in it")
	}
	if len(digits) > 64 {
		return bad("it has more than 64 digits")
	}
	// The value is digits × 10^(exponent-len(frac)); in nanos, nine more.
	scale := exponent - len(frac) + 9
	if scale < 0 {
		cut := max(len(digits)+scale, 0)
		truncated = strings.Trim(digits[cut:], "0") != ""
		digits, scale = digits[:cut], 0
	}
	digits = strings.TrimLeft(digits, "0")
	if digits == "" {
		return 0, truncated, nil
	}
	if len(digits)+scale > 19 {
		return bad("it is too large")
	}
	var u uint64
	for i := range len(digits) + scale {
		u *= 10
		if i < len(digits) {
			u += uint64(digits[i] - '0')
		}
	}
	if u > math.MaxInt64 {
		return bad("it is too large")
	}
	n = Nanos(u)
	if neg {
		n = -n
	}
	return n, truncated, nil
}

// parseExponent reads a decimal exponent of at most two digits. Larger ones are never prices.
func parseExponent(s string) (int, bool) {
	neg := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		neg, s = s[0] == '-', s[1:]
	}
	if s == "" || len(s) > 2 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n := 0
	for _, d := range []byte(s) {
		n = n*10 + int(d-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}

// clip shortens text from outside for an error message.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
