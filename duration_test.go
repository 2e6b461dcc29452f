package carom

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"90s", 90 * time.Second, true},
		{"1h30m", 90 * time.Minute, true},
		{"30d", 30 * 24 * time.Hour, true},
		{"1d12h", 36 * time.Hour, true},
		{"0s", 0, true},
		{"0", 0, true},
		{"", 0, false},
		{"d", 0, false},
		{"10", 0, false},
		{"1.5d", 0, false},
		{"-1d", 0, false},
		{"1d-2h", 0, false},
		{"1d+2h", 0, false},
		{"1d2d", 0, false},
		{"65535d", 65535 * 24 * time.Hour, true},
		{"65536d", 0, false},
		{"65535d2500000h", 0, false},
		{"a day", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParseDuration(tt.text)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("ParseDuration(%q) = %v, %v; want %v, ok %v", tt.text, got, err, tt.want, tt.ok)
			}
		})
	}
}

func TestFormatDuration(t *testing.T) {
	tests := []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"},
		{90 * time.Second, "1m30s"},
		{10 * time.Minute, "10m"},
		{time.Hour, "1h"},
		{90 * time.Minute, "1h30m"},
		{36 * time.Hour, "36h"},
		{30 * 24 * time.Hour, "30d"},
		{1500 * time.Millisecond, "1.5s"},
		{-24 * time.Hour, "-24h"},
	}
	for _, tt := range tests {
		got := FormatDuration(tt.d)
		if got != tt.want {
			t.Errorf("FormatDuration(%d) = %q, want %q", tt.d, got, tt.want)
		}
		if back, err := ParseDuration(got); err != nil || back != tt.d {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", got, back, err, tt.d)
		}
	}
}
