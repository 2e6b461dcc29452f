package main

import (
	"maps"
	"math/rand/v2"
)

// variant is what becomes, at a power cut, of what was not synced.
type variant int

const (
	variantLost      variant = iota // all of it is lost, names too
	variantNamesKept                // names are as they were, all unsynced contents are lost
	variantDataKept                 // contents are as they were, all unsynced names are lost
	variantKept                     // nothing is lost: as when the process alone dies
	variantPrefix                   // contents up to some moment are there, the last write of each file torn; names up to some moment
	variantPages                    // of each 4096 bytes some earlier version is there; any of the names
	variantSectors                  // the same for each 512 bytes, so that pages are torn
	variants
)

func (v variant) String() string {
	return [...]string{"all that was not synced is lost", "names are kept, contents lost", "contents are kept, names lost", "nothing is lost",
		"cut short somewhere", "any version of each 4096 bytes", "any version of each 512 bytes"}[v]
}

// sectorBytes is the least that a disk writes as a whole.
const sectorBytes = 512

// disk is the state of the data folder: what is synced for good, and what is not, in order.
type disk struct {
	forget string // name of the file whose syncs do not count; "." for the folder
	files  map[int]*diskFile
	names  map[string]int // synced
	moved  []pendingOp    // names that are not synced
	ignore map[int]bool   // files that ever had the name forget
}

// diskFile is the contents of one file.
type diskFile struct {
	synced  []byte
	pending []pendingOp
}

type pendingOp struct {
	at int // place among the operations
	*op
}

func newDisk(forget string) *disk {
	return &disk{forget: forget, files: map[int]*diskFile{}, names: map[string]int{}, ignore: map[int]bool{}}
}

// apply takes up operation number i.
func (d *disk) apply(i int, o *op) {
	switch o.kind {
	case opWrite, opTruncate:
		f := d.file(o.file)
		f.pending = append(f.pending, pendingOp{i, o})
	case opSync:
		if d.ignore[o.file] {
			return
		}
		f := d.file(o.file)
		covered, left := splitAt(f.pending, o.covers)
		for _, p := range covered {
			f.synced = p.on(f.synced)
		}
		f.pending = left
	case opName, opUnname:
		d.file(o.file)
		if o.to != "" && o.to == d.forget {
			d.ignore[o.file] = true
		}
		d.moved = append(d.moved, pendingOp{i, o})
	case opSyncDir:
		if d.forget == "." {
			return
		}
		covered, left := splitAt(d.moved, o.covers)
		for _, p := range covered {
			p.rename(d.names)
		}
		d.moved = left
	}
}

func (d *disk) file(n int) *diskFile {
	f := d.files[n]
	if f == nil {
		f = &diskFile{}
		d.files[n] = f
	}
	return f
}

// splitAt parts the operations before place from the others.
func splitAt(ops []pendingOp, place int) (before, others []pendingOp) {
	n := 0
	for n < len(ops) && ops[n].at < place {
		n++
	}
	return ops[:n], append([]pendingOp(nil), ops[n:]...)
}

// on returns content after the write or truncation, which it makes in place where it can.
func (o *op) on(content []byte) []byte {
	if o.kind == opTruncate {
		return resize(content, int(o.off))
	}
	if end := int(o.off) + len(o.data); end > len(content) {
		content = resize(content, end)
	}
	copy(content[o.off:], o.data)
	return content
}

// resize cuts content, or lengthens it by zeros.
func resize(content []byte, size int) []byte {
	if size <= len(content) {
		clear(content[size:])
		return content[:size]
	}
	return append(content, make([]byte, size-len(content))...)
}

func (o *op) rename(names map[string]int) {
	if o.from != "" {
		delete(names, o.from)
	}
	if o.to != "" {
		names[o.to] = o.file
	}
}

// unsynced is how many writes, truncations and names would be lost, of files that have a name or had one when the folder was
// last synced.
func (d *disk) unsynced() (contents, names int) {
	present := map[int]bool{}
	for _, n := range d.names {
		present[n] = true
	}
	for _, p := range d.moved {
		present[p.file] = present[p.file] || p.to != ""
	}
	for n, ok := range present {
		if ok {
			contents += len(d.files[n].pending)
		}
	}
	return contents, len(d.moved)
}

// rebuild returns the contents of a folder that the disk could hold after the cut, by name. rng is of no use to the first
// four variants.
func (d *disk) rebuild(v variant, rng *rand.Rand) map[string][]byte {
	names := maps.Clone(d.names)
	kept := 0 // names up to here
	switch v {
	case variantNamesKept, variantKept:
		kept = len(d.moved)
	case variantPrefix:
		kept = rng.IntN(len(d.moved) + 1)
	}
	for i, p := range d.moved {
		if i < kept || v >= variantPages && rng.IntN(2) == 0 {
			p.rename(names)
		}
	}
	out := make(map[string][]byte, len(names))
	for name, n := range names {
		out[name] = d.files[n].rebuild(v, rng)
	}
	return out
}

func (f *diskFile) rebuild(v variant, rng *rand.Rand) []byte {
	content := make([]byte, len(f.synced), len(f.synced)+1<<16)
	copy(content, f.synced)
	if len(f.pending) == 0 {
		return content
	}
	switch v {
	case variantDataKept, variantKept:
		for _, p := range f.pending {
			content = p.on(content)
		}
	case variantPrefix:
		n := rng.IntN(len(f.pending) + 1)
		for _, p := range f.pending[:n] {
			content = p.on(content)
		}
		if n < len(f.pending) && f.pending[n].kind == opWrite {
			part := *f.pending[n].op
			part.data = part.data[:rng.IntN(len(part.data)+1)/sectorBytes*sectorBytes]
			content = part.on(content)
		}
	case variantPages:
		content = f.versions(content, 4096, rng)
	case variantSectors:
		content = f.versions(content, sectorBytes, rng)
	}
	return content
}

// versions gives each block some version of its own: as synced, or as it was after one of the unsynced writes. In one of
// three, blocks beyond the synced end that got nothing hold noise instead of zeros; in one of four, the file is not longer
// than it was.
func (f *diskFile) versions(content []byte, block int64, rng *rand.Rand) []byte {
	synced := len(content)
	writes := map[int64]int{} // by block
	f.pieces(block, func(at int64, _ *op) { writes[at]++ })
	cutoff := make(map[int64]int, len(writes))
	// Few, half or most of the blocks are old: each finds other faults.
	keep := []int{1, 5, 9}[rng.IntN(3)]
	f.pieces(block, func(at int64, _ *op) {
		if _, ok := cutoff[at]; !ok {
			cutoff[at] = 0
			if rng.IntN(10) < keep {
				cutoff[at] = 1 + rng.IntN(writes[at])
			}
		}
	})
	filled := map[int64]bool{}
	clear(writes)
	truncate := rng.IntN(2) == 0 // whether truncations survived
	for _, p := range f.pending {
		if p.kind == opTruncate {
			if truncate {
				content = p.on(content)
			}
			continue
		}
		p.split(block, func(at int64, piece *op) {
			if writes[at]++; writes[at] <= cutoff[at] {
				content = piece.on(content)
				filled[at] = true
			}
		})
	}
	if rng.IntN(3) == 0 {
		for at := (int64(synced) + block - 1) / block; at < int64(len(content))/block; at++ {
			if !filled[at] {
				noise(content[at*block:(at+1)*block], rng)
			}
		}
	}
	if rng.IntN(4) == 0 && len(content) > synced {
		content = content[:synced]
	}
	return content
}

func noise(b []byte, rng *rand.Rand) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}

// pieces calls do for what each unsynced write puts into each block, in order.
func (f *diskFile) pieces(block int64, do func(at int64, piece *op)) {
	for _, p := range f.pending {
		if p.kind == opWrite {
			p.split(block, do)
		}
	}
}

// split parts a write at the bounds of blocks.
func (o *op) split(block int64, do func(at int64, piece *op)) {
	data, off := o.data, o.off
	for len(data) > 0 {
		n := min(int64(len(data)), block-off%block)
		do(off/block, &op{kind: opWrite, off: off, data: data[:n]})
		data, off = data[n:], off+n
	}
}
