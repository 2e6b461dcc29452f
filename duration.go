package carom

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// ParseDuration reads a duration as people write it: Go's syntax, with whole days allowed in front: "10m", "1h30m", "30d",
// "1d12h". Its error says how to write one.
func ParseDuration(s string) (time.Duration, error) {
	count, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		count, rest = "0", s
	}
	days, err := strconv.ParseUint(count, 10, 16) // 65,535 days are 179 years, well within a time.Duration
	var d time.Duration
	if err == nil && (rest != "" || !hasDays) {
		d, err = time.ParseDuration(rest)
	}
	if err != nil || hasDays && (d < 0 || strings.HasPrefix(rest, "+")) || d > math.MaxInt64-time.Duration(days)*day {
		return 0, fmt.Errorf("%q is not a duration: write it as 90s, 10m, 72h or 30d", clip(s))
	}
	return time.Duration(days)*day + d, nil
}

// FormatDuration writes d so that [ParseDuration] reads it back, and as short as that goes: "30d", "36h", "1h30m", "0s".
func FormatDuration(d time.Duration) string {
	if d > 0 && d%day == 0 && d/day <= math.MaxUint16 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
