package guard

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// clock is set by a test.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func TestBudget(t *testing.T) {
	c := &clock{time.Unix(1_000_000, 0)}
	pressed := false
	b := NewBudget(Terms{Rate: 10, Clock: c.read, Pressed: func() bool { return pressed }, Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	a, other, exempt := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("10.1.2.3")
	failures := func(a netip.Addr) (n int) {
		for ; n < 1000 && !b.Spent(a); n++ {
			b.Failed(a)
		}
		return n
	}
	if n := failures(a); n != 40 {
		t.Errorf("an address may fail %d times at once, want 40", n)
	}
	if b.Spent(other) || b.Spent(netip.Addr{}) {
		t.Error("somebody else has to pay for it")
	}
	if !b.Spent(netip.MustParseAddr("::ffff:192.0.2.1")) {
		t.Error("an IPv4 address in IPv6 form has a budget of its own")
	}
	c.now = c.now.Add(time.Second)
	if n := failures(a); n != 10 {
		t.Errorf("after a second it may fail %d times more, want 10", n)
	}
	c.now = c.now.Add(-time.Hour)
	if !b.Spent(a) {
		t.Error("a clock that jumps back forgives everything")
	}
	c.now = c.now.Add(2 * time.Hour)
	if n := failures(a); n != 40 {
		t.Errorf("after an hour it may fail %d times, want 40", n)
	}
	if n := failures(exempt); n != 1000 {
		t.Errorf("an exempt address may fail %d times", n)
	}
	pressed = true
	if n := failures(other); n != 4 {
		t.Errorf("under pressure an address may fail %d times, want 4", n)
	}
}

func TestBudgetOfANetwork(t *testing.T) {
	b := NewBudget(Terms{Rate: 1})
	for i := range 10 {
		b.Failed(netip.MustParseAddr("2001:db8:1:2::" + string(rune('0'+i))))
	}
	if !b.Spent(netip.MustParseAddr("2001:db8:1:2:ffff::1")) {
		t.Error("the addresses of one /64 have budgets of their own")
	}
	if b.Spent(netip.MustParseAddr("2001:db8:1:3::1")) {
		t.Error("another /64 shares the budget")
	}
}

// However many addresses fail, the memory is bounded, and the worst of them are not the ones that are forgotten.
func TestBudgetIsBounded(t *testing.T) {
	c := &clock{time.Unix(1_000_000, 0)}
	b := NewBudget(Terms{Rate: 50, Clock: c.read})
	worst := netip.MustParseAddr("203.0.113.9")
	for !b.Spent(worst) {
		b.Failed(worst)
	}
	for i := range uint32(3 * shards * shardCapacity) {
		b.Failed(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0x0a000000+i))))
	}
	kept := 0
	for i := range b.shards {
		if n := len(b.shards[i].owed); n > shardCapacity {
			t.Errorf("a shard keeps %d addresses, want %d at most", n, shardCapacity)
		}
		kept += len(b.shards[i].owed)
	}
	if kept < shards*shardCapacity*9/10 {
		t.Errorf("%d addresses are kept, want nearly %d", kept, shards*shardCapacity)
	}
	if !b.Spent(worst) {
		t.Error("a flood of addresses made the budget forget the worst one")
	}
}

func TestFit(t *testing.T) {
	tests := []struct {
		files, connections, attempts  int
		wantConnections, wantAttempts int
		lowered                       bool
	}{
		{1 << 20, 10_000, 4096, 10_000, 4096, false},
		{10_000 + 4096 + 256, 10_000, 4096, 10_000, 4096, false},
		{12_000, 10_000, 4096, 7830, 3914, true},
		{1024, 10_000, 4096, 512, 256, true},
		{1024, 100, 4096, 100, 256, true},
		{1024, 10_000, 16, 752, 16, true},
		{64, 10_000, 4096, 22, 10, true},
	}
	for _, tt := range tests {
		c, a, lowered := Fit(tt.files, tt.connections, tt.attempts)
		if c != tt.wantConnections || a != tt.wantAttempts || lowered != tt.lowered {
			t.Errorf("Fit(%d, %d, %d) = %d, %d, %v; want %d, %d, %v", tt.files, tt.connections, tt.attempts, c, a, lowered, tt.wantConnections, tt.wantAttempts, tt.lowered)
		}
	}
	if _, _, lowered := Fit(FilesFor(10_000, 4096), 10_000, 4096); lowered {
		t.Error("FilesFor says too little")
	}
}

func BenchmarkSpent(b *testing.B) {
	budget := NewBudget(Terms{Rate: 50})
	a := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		budget.Spent(a)
	}
}
