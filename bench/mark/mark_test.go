package mark

import "testing"

func TestMarkRoundTrip(t *testing.T) {
	for _, m := range []Mark{
		{},
		{Run: 0xffffffff, Seq: MaxSeq, At: 1<<63 - 1},
		{Run: 7, Seq: 10_000_000, At: 1_790_000_000_123_456_789},
	} {
		s := m.String()
		if len(s) != Len {
			t.Errorf("%v has %d bytes, want %d", m, len(s), Len)
		}
		if got, ok := Parse(s); !ok || got != m {
			t.Errorf("Parse(%q) = %v, %v; want %v", s, got, ok, m)
		}
	}
}

func TestParseRefusesOtherText(t *testing.T) {
	good := Mark{Run: 1, Seq: 2, At: 3}.String()
	for _, s := range []string{"", "user123", good + "0", good[1:], "G" + good[1:], good[:8] + "_" + good[9:]} {
		if m, ok := Parse(s); ok {
			t.Errorf("Parse(%q) = %v, want refused", s, m)
		}
	}
}
