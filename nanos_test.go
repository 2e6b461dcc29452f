package carom_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"carom"
)

func TestParseNanos(t *testing.T) {
	const unit = 1_000_000_000
	tests := []struct {
		in        string
		want      carom.Nanos
		truncated bool
	}{
		{"0", 0, false},
		{"-0", 0, false},
		{"0.000", 0, false},
		{"1", unit, false},
		{"+1", unit, false},
		{"-4", -4 * unit, false},
		{"0.0023", 2_300_000, false},
		{".5", unit / 2, false},
		{"5.", 5 * unit, false},
		{"007.10", 7_100_000_000, false},
		{"0.000000001", 1, false},
		{"-0.000000001", -1, false},

		// Exponents, as programs write small floats.
		{"2.3e-3", 2_300_000, false},
		{"2.3E-3", 2_300_000, false},
		{"1e-9", 1, false},
		{"1e0", unit, false},
		{"1e+2", 100 * unit, false},
		{"0e99", 0, false},
		{"123456789e-9", 123_456_789, false},
		{"0.000000000000000001e9", 1, false},

		// More than nine decimals are cut towards zero, and said to be.
		{"0.0000000019", 1, true},
		{"-0.0000000019", -1, true},
		{"0.1234567891", 123_456_789, true},
		{"1e-10", 0, true},
		{"9.9e-99", 0, true},
		{"0.1234567890000", 123_456_789, false},
		{"1.000000000000000000000000000000", unit, false},

		// The ends of what fits.
		{"9223372036.854775807", math.MaxInt64, false},
		{"-9223372036.854775807", -math.MaxInt64, false},
		{"9223372036.8547758079", math.MaxInt64, true},
	}
	for _, tt := range tests {
		got, truncated, err := carom.ParseNanos(tt.in)
		if got != tt.want || truncated != tt.truncated || err != nil {
			t.Errorf("ParseNanos(%q) = %d, %v, %v, want %d, %v", tt.in, got, truncated, err, tt.want, tt.truncated)
		}
	}
}

func TestParseNanosRefuses(t *testing.T) {
	for _, in := range []string{
		"", " ", "-", "+", ".", "-.", "e5", ".e5", "1e", "1e+", "1e-", "1e5.0", "1e100", "1e-100", "1e99", "1ee5",
		"--1", "+-1", "1-", "1.2.3", "1..2", "1,5", "1 ", " 1", "1_000", "$1", "1USD", "0x10", "0b1", "1f",
		"NaN", "nan", "Inf", "-inf", "null", "{price}", "%7Bprice%7D", "١", "１", "1\x00", "\xff",
		"9223372036.854775808", "-9223372036.854775808", "10000000000", "99999999999999999999", "1e10",
		strings.Repeat("9", 64), strings.Repeat("0", 65), strings.Repeat("1", 1<<16),
	} {
		got, truncated, err := carom.ParseNanos(in)
		if !errors.Is(err, carom.ErrInvalid) || got != 0 || truncated {
			t.Errorf("ParseNanos(%.80q) = %d, %v, %v, want ErrInvalid", in, got, truncated, err)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("ParseNanos(%.20q…) gives an error of %d bytes: input from outside is to be shortened", in, len(err.Error()))
		}
	}
}

func TestNanosString(t *testing.T) {
	tests := []struct {
		in   carom.Nanos
		want string
	}{
		{0, "0"},
		{1, "0.000000001"},
		{-1, "-0.000000001"},
		{2_300_000, "0.0023"},
		{1_000_000_000, "1"},
		{-1_500_000_000, "-1.5"},
		{10_000_000_001, "10.000000001"},
		{carom.MaxPrice, "1000000"},
		{math.MaxInt64, "9223372036.854775807"},
		{math.MinInt64, "-9223372036.854775808"},
	}
	for _, tt := range tests {
		if got := tt.in.String(); got != tt.want {
			t.Errorf("Nanos(%d).String() = %q, want %q", int64(tt.in), got, tt.want)
		}
	}
}

// TestPriceString: an absent price and a price of zero are two things.
func TestPriceString(t *testing.T) {
	for _, tt := range []struct {
		in   carom.Price
		want string
	}{
		{carom.Price{}, ""},
		{carom.Price{Set: true}, "0"},
		{carom.Price{Nanos: 2_300_000, Set: true}, "0.0023"},
		{carom.Price{Nanos: 5}, ""},
	} {
		if got := tt.in.String(); got != tt.want {
			t.Errorf("%#v.String() = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// FuzzParseNanos: what is read can be written and read again, exactly and without a further cut.
func FuzzParseNanos(f *testing.F) {
	for _, s := range []string{"0", "-0.0023", "2.3e-3", "1e9", ".5", "5.", "0.0000000019", "9223372036.854775807", "1e", "NaN"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, truncated, err := carom.ParseNanos(s)
		if err != nil {
			if !errors.Is(err, carom.ErrInvalid) || n != 0 || truncated {
				t.Fatalf("ParseNanos(%q) = %d, %v, %v, want only ErrInvalid", s, n, truncated, err)
			}
			return
		}
		again, truncated, err := carom.ParseNanos(n.String())
		if again != n || truncated || err != nil {
			t.Errorf("ParseNanos(%q) = %d, written %q, read back %d, %v, %v", s, n, n, again, truncated, err)
		}
	})
}

// FuzzNanosString: every amount that can be read is written so that it reads back.
func FuzzNanosString(f *testing.F) {
	for _, n := range []int64{0, 1, -1, 2_300_000, math.MaxInt64, -math.MaxInt64} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, v int64) {
		if v == math.MinInt64 { // one less than what ParseNanos reads: amounts are symmetric there
			return
		}
		n := carom.Nanos(v)
		if got, truncated, err := carom.ParseNanos(n.String()); got != n || truncated || err != nil {
			t.Errorf("ParseNanos(%q) = %d, %v, %v, want %d", n, got, truncated, err, v)
		}
	})
}
