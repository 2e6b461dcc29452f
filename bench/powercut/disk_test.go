package main

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// apply makes a disk that has seen ops.
func apply(forget string, ops ...op) *disk {
	d := newDisk(forget)
	for i := range ops {
		d.apply(i, &ops[i])
	}
	return d
}

func TestDiskKeepsOnlyWhatWasSynced(t *testing.T) {
	write := func(off int64, text string) op { return op{kind: opWrite, file: 1, off: off, data: []byte(text)} }
	ops := []op{
		{kind: opName, file: 1, to: "a.tmp"},
		write(0, "synced"),
		{kind: opSyncDir, covers: 1},
		write(6, " not"),
		{kind: opSync, file: 1, covers: 3}, // it began before the last write
		{kind: opName, file: 1, from: "a.tmp", to: "a"},
		{kind: opTruncate, file: 1, off: 8},
	}
	for _, tt := range []struct {
		forget string
		v      variant
		want   map[string]string
	}{
		{"", variantLost, map[string]string{"a.tmp": "synced"}},
		{"", variantNamesKept, map[string]string{"a": "synced"}},
		{"", variantDataKept, map[string]string{"a.tmp": "synced n"}},
		{"", variantKept, map[string]string{"a": "synced n"}},
		{"a.tmp", variantLost, map[string]string{"a.tmp": ""}},
		{".", variantLost, map[string]string{}},
		{".", variantKept, map[string]string{"a": "synced n"}},
	} {
		got := map[string]string{}
		for name, b := range apply(tt.forget, ops...).rebuild(tt.v, nil) {
			got[name] = string(b)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q with %q forgotten (-want +got):\n%s", tt.v, tt.forget, diff)
		}
	}
	if contents, names := apply("", ops...).unsynced(); contents != 2 || names != 1 {
		t.Errorf("unsynced: %d contents, %d names, want 2 and 1", contents, names)
	}
}

// TestDiskTearsWrites checks that every block is some version of its own, that all of them turn up, and that what was synced
// and not written to stays.
func TestDiskTearsWrites(t *testing.T) {
	fill := func(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n) }
	d := apply("",
		op{kind: opName, file: 1, to: "a"},
		op{kind: opSyncDir, covers: 1},
		op{kind: opWrite, file: 1, data: fill('s', 4*sectorBytes)},
		op{kind: opSync, file: 1, covers: 3},
		op{kind: opWrite, file: 1, off: sectorBytes, data: fill('1', 2*sectorBytes)},
		op{kind: opWrite, file: 1, off: 2 * sectorBytes, data: fill('2', sectorBytes)},
		op{kind: opWrite, file: 1, off: 6 * sectorBytes, data: fill('3', sectorBytes)},
	)
	seen := map[string]bool{}
	for seed := range uint64(300) {
		got := d.rebuild(variantSectors, rand.New(rand.NewPCG(seed, 0)))["a"]
		if n := len(got); n != 4*sectorBytes && n != 7*sectorBytes {
			t.Fatalf("seed %d: %d bytes", seed, n)
		}
		shape := ""
		for at := 0; at < 4; at++ {
			block := got[at*sectorBytes : (at+1)*sectorBytes]
			if !bytes.Equal(block, fill(block[0], sectorBytes)) {
				t.Fatalf("seed %d: block %d is torn", seed, at)
			}
			shape += string(block[:1])
		}
		seen[shape] = true
	}
	want := map[string]bool{"ssss": true, "s1ss": true, "ss1s": true, "s11s": true, "ss2s": true, "s12s": true}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("versions of the first four blocks (-want +got):\n%s", diff)
	}
	pages := d.rebuild(variantPages, rand.New(rand.NewPCG(1, 0)))["a"]
	prefix := d.rebuild(variantPrefix, rand.New(rand.NewPCG(1, 0)))["a"]
	for _, b := range [][]byte{pages, prefix} {
		if !bytes.Equal(b[:sectorBytes], fill('s', sectorBytes)) {
			t.Error("what was synced is gone")
		}
	}
}
