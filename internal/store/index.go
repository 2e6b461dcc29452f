package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/FastFilter/xorfilter"

	"carom"
)

// An index file answers, for one closed bucket, which event first carried a dedupe key and which events carry a search
// key; for one full segment of rewards, which reward a view or a transaction has earned. It is built once, in the background, by sorting; keeping such an index up to date row by row costs ten times more
// (docs/decisions/0001-engine.md). It is a cache of the rows: lost or damaged, it is built again.
//
// Layout, little-endian: a header (magic, version, counts, lengths, CRC-32C of header and filter), the membership filter over the
// first 64 bits of each dedupe key, the dedupe records sorted by key (16 bytes sum, 4 seq, 4 at, 4 check), the search keys
// of each kind, sorted, 8 bytes each. The filter is read into memory, 2.3 bytes per event; hits and searches read the rest
// from the file. It is not mapped: a disk that fails must be an error and not the end of the process, and memory that the
// kernel maps around each page touched counts as the server's.
type index struct {
	file   *os.File
	filter *xorfilter.BinaryFuse[uint16] // false hits: 1 in 65,536
	firsts section                       // records of firstBytes
	search [searchKinds]section          // of 8 bytes
}

// section is a sorted part of the file.
type section struct {
	off int64
	n   int // elements
}

const (
	indexMagic   = "caromidx"
	indexVersion = 1
	firstBytes   = 28
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// indexHeader is the fixed start of the file.
type indexHeader struct {
	Magic   [8]byte
	Version uint32
	Number  uint32 // of the bucket or segment
	Filter  uint64 // bytes
	Sum     uint32 // CRC-32C of the header, this being 0, and the filter
	_       uint32
	Firsts  uint64 // records
	Search  [searchKinds]uint64
}

// checksum is what Sum has to be.
func (h indexHeader) checksum(filter []byte) uint32 {
	h.Sum = 0
	b, err := binary.Append(nil, binary.LittleEndian, h)
	if err != nil {
		return 0 // a struct of fixed size always encodes
	}
	return crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, filter)
}

func indexPath(dir string, bucket uint32) string {
	return filepath.Join(dir, fmt.Sprintf("index_%d", bucket))
}

// segmentPath is where the index of a segment of rewards lies.
func segmentPath(dir string, segment uint32) string {
	return filepath.Join(dir, fmt.Sprintf("rewards_%d", segment))
}

// buildIndex writes the index of a bucket or segment whose keys no longer change, synced and renamed into place.
func buildIndex(path string, number uint32, keys *openKeys) error {
	order := keys.firsts.sorted()
	filter, err := buildFilter(&keys.firsts, order)
	if err != nil {
		return fmt.Errorf("build filter of %s: %w", filepath.Base(path), err)
	}
	h := indexHeader{Version: indexVersion, Number: number, Filter: uint64(len(filter)), Firsts: uint64(len(order))}
	copy(h.Magic[:], indexMagic)
	for i := range keys.search {
		h.Search[i] = uint64(keys.search[i].len())
	}
	h.Sum = h.checksum(filter)
	return writeSynced(path, func(w io.Writer) error {
		if err := binary.Write(w, binary.LittleEndian, h); err != nil {
			return err
		}
		if _, err := w.Write(filter); err != nil {
			return err
		}
		var b []byte
		for _, i := range order {
			r := keys.firsts.records.at(int(i))
			b = append(b[:0], r.sum[:]...)
			b = binary.LittleEndian.AppendUint32(b, r.seq)
			b = binary.LittleEndian.AppendUint32(b, r.at)
			b = binary.LittleEndian.AppendUint32(b, r.check)
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		var sorted []uint64
		for i := range keys.search {
			sorted = keys.search[i].appendTo(sorted[:0])
			slices.Sort(sorted)
			for _, k := range sorted {
				b = binary.LittleEndian.AppendUint64(b[:0], k)
				if _, err := w.Write(b); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// buildFilter returns the encoded membership filter over the records in their order; empty when there are none.
func buildFilter(t *keyTable, order []uint32) ([]byte, error) {
	heads := make([]uint64, 0, len(order))
	for _, i := range order {
		if h := filterKey(t.records.at(int(i)).sum); len(heads) == 0 || h != heads[len(heads)-1] {
			heads = append(heads, h)
		}
	}
	if len(heads) == 0 {
		return nil, nil
	}
	f, err := xorfilter.NewBinaryFuse[uint16](heads)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = f.Save(&b)
	return b.Bytes(), err
}

// filterKey is what the membership filter holds of a dedupe key: its first 64 bits, in the order that the keys sort by.
func filterKey(sum [16]byte) uint64 { return binary.BigEndian.Uint64(sum[:8]) }

var errBadIndex = errors.New("the index file is damaged or of another version")

// openIndex opens the index file of a bucket or segment. It returns an error that wraps os.ErrNotExist or errBadIndex when there is none to use.
func openIndex(path string, number uint32) (*index, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	x, err := readIndex(f, number)
	if err != nil {
		_ = f.Close() // the first error says more
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return x, nil
}

func readIndex(f *os.File, number uint32) (*index, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var h indexHeader
	size := int64(binary.Size(h))
	if info.Size() < size {
		return nil, errBadIndex
	}
	if err := binary.Read(io.NewSectionReader(f, 0, size), binary.LittleEndian, &h); err != nil {
		return nil, err
	}
	if string(h.Magic[:]) != indexMagic || h.Version != indexVersion || h.Number != number {
		return nil, errBadIndex
	}
	x := &index{file: f}
	at, left := size, uint64(info.Size()-size)
	short := false
	take := func(n, each uint64) section {
		if n > left/each {
			short = true
			return section{}
		}
		s := section{off: at, n: int(n)}
		at += int64(n * each)
		left -= n * each
		return s
	}
	part := take(h.Filter, 1)
	x.firsts = take(h.Firsts, firstBytes)
	for i, n := range h.Search {
		x.search[i] = take(n, 8)
	}
	if short || left != 0 {
		return nil, errBadIndex
	}
	filter := make([]byte, part.n)
	if _, err := f.ReadAt(filter, part.off); err != nil {
		return nil, err
	}
	if h.checksum(filter) != h.Sum {
		return nil, errBadIndex
	}
	if len(filter) > 0 {
		if x.filter, err = xorfilter.LoadBinaryFuse[uint16](bytes.NewReader(filter)); err != nil {
			return nil, fmt.Errorf("%w: %w", errBadIndex, err)
		}
	}
	return x, nil
}

// Close closes the file. Whoever asks afterwards is told os.ErrClosed.
func (x *index) Close() error {
	if x.file == nil { // the one that stands for an index which is gone
		return nil
	}
	return x.file.Close()
}

// nearby is half of how many records first reads at once. Keys are spread evenly: of a million, two in three are within 500
// records of where perfect spreading would put them, and nearly all within 1,500, which is the second reading.
const nearby = 512

// first finds a dedupe key's first event. An error says that the file could not be read: nothing is known then.
func (x *index) first(sum [16]byte) (first, bool, error) {
	if x.filter == nil || !x.filter.Contains(filterKey(sum)) {
		return first{}, false, nil
	}
	record := func(b []byte, i int) []byte { return b[i*firstBytes:][:firstBytes] }
	low, high := 0, x.firsts.n // it is in [low, high) or nowhere
	var room [2 * nearby * firstBytes]byte
	guess, _ := bits.Mul64(filterKey(sum), uint64(high))
	for at, reach := int(guess), nearby; low < high; reach *= 2 {
		from, to := max(low, at-reach), min(high, at+reach)
		b := room[:0]
		if n := (to - from) * firstBytes; n <= len(room) {
			b = room[:n]
		} else {
			b = make([]byte, n)
		}
		if _, err := x.file.ReadAt(b, x.firsts.off+int64(from)*firstBytes); err != nil {
			return first{}, false, fmt.Errorf("read an index file: %w", err)
		}
		i, found := sort.Find(to-from, func(i int) int { return bytes.Compare(sum[:], record(b, i)[:16]) })
		switch {
		case found:
			r := record(b, i)[16:]
			return first{
				seq: binary.LittleEndian.Uint32(r), at: binary.LittleEndian.Uint32(r[4:]), check: binary.LittleEndian.Uint32(r[8:]),
			}, true, nil
		case i == 0: // before all that was read
			high, at = from, from-reach
		case i == to-from:
			low, at = to, to+reach
		default:
			return first{}, false, nil
		}
	}
	return first{}, false, nil
}

// find returns the sequences below before that carry the search key, newest first, at most limit of them.
func (x *index) find(kind int, value string, before uint32, limit int) ([]uint32, error) {
	keys := x.search[kind]
	if keys.n == 0 {
		return nil, nil
	}
	read := func(b []byte, i int) error {
		if _, err := x.file.ReadAt(b, keys.off+int64(i)*8); err != nil {
			return fmt.Errorf("read an index file: %w", err)
		}
		return nil
	}
	var failed error
	low, high := searchKey(value, 0), searchKey(value, before)
	end := sort.Search(keys.n, func(i int) bool {
		var b [8]byte
		if failed == nil {
			failed = read(b[:], i)
		}
		return binary.LittleEndian.Uint64(b[:]) >= high
	})
	if failed != nil {
		return nil, failed
	}
	b := make([]byte, min(limit, end)*8)
	if err := read(b, end-len(b)/8); err != nil {
		return nil, err
	}
	var seqs []uint32
	for ; len(b) > 0; b = b[:len(b)-8] {
		k := binary.LittleEndian.Uint64(b[len(b)-8:])
		if k < low {
			break
		}
		seqs = append(seqs, uint32(k&(1<<searchSeqBits-1)))
	}
	return seqs, nil
}

// findOpen is find over the keys of a bucket without an index, which lie in order of sequence: one pass back from before.
func findOpen(keys *list[uint64], value string, before uint32, limit int) []uint32 {
	const seqMask = 1<<searchSeqBits - 1
	low := searchKey(value, 0)
	end := sort.Search(keys.len(), func(i int) bool { return *keys.at(i)&seqMask >= uint64(before) })
	var seqs []uint32
	for end > 0 {
		start := (end - 1) / listChunk * listChunk
		chunk := keys.chunks[start/listChunk][:end-start]
		for i := len(chunk) - 1; i >= 0; i-- {
			if chunk[i]^low > seqMask { // millions of times
				continue
			}
			if seqs = append(seqs, uint32(chunk[i]&seqMask)); len(seqs) >= limit {
				return seqs
			}
		}
		end = start
	}
	return seqs
}

// writeSynced writes a file beside path, syncs it, renames it into place and syncs the folder:
// path is never half written.
func writeSynced(path string, write func(io.Writer) error) (err error) {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", carom.ErrUnavailable, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()      // the first error says more
			_ = os.Remove(tmp) // best effort: the next build overwrites it
		}
	}()
	w := bufio.NewWriterSize(f, 256<<10)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
