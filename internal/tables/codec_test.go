package tables

import "testing"

func TestAmountText(t *testing.T) {
	for _, tt := range []struct {
		units, nanos int64
		want         string
	}{
		{0, 0, "0"}, {7, 0, "7"}, {-7, 0, "-7"}, {0, -1, "-0.000000001"}, {-1, -500_000_000, "-1.5"}, {1, -500_000_000, "0.5"}, {-1, 500_000_000, "-0.5"},
		{-2, 500_000_000, "-1.5"}, {2, -1, "1.999999999"}, {3, -3_000_000_000, "0"}, {-3, 3_250_000_000, "0.25"}, {10, 20_000_000_001, "30.000000001"},
	} {
		if got := AmountText(tt.units, tt.nanos); got != tt.want {
			t.Errorf("AmountText(%d, %d) = %q, want %q", tt.units, tt.nanos, got, tt.want)
		}
	}
}
