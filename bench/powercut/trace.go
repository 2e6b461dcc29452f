package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
)

// opKind is what one recorded operation did.
type opKind uint8

const (
	opWrite    opKind = iota // data at off
	opTruncate               // the file is off bytes long now
	opSync                   // of a file
	opName                   // to names the file; from, when not empty, names nothing any more
	opUnname                 // from names nothing any more
	opSyncDir                // of the data folder
	opAnswer                 // an answer to a sender
)

func (k opKind) String() string {
	return [...]string{"write", "truncate", "sync", "name", "remove", "sync of the folder", "answer"}[k]
}

// op is one operation of the recording. All stand where the call returned, answers where it was made: what an answer
// rests on must have returned before.
type op struct {
	kind     opKind
	file     int // number of the file, counted from 1 as they were made
	off      int64
	data     []byte
	from, to string // names in the data folder
	covers   int    // of a sync: operations before this place were there when it began
	answer   answer
}

// connID is one inbound connection.
type connID struct{ life, port int }

// answer is one that the server wrote to a sender.
type answer struct {
	conn   connID
	n      int // place among the answers of its connection, from 0
	status int
}

// descriptor is what a file descriptor of the server stands for: a file, the data folder, or an inbound connection.
type descriptor struct {
	file int
	dir  bool
	conn *connID
	pos  int64 // of the next write
	skip bool  // SQLite's shared memory
}

// call is one system call of a thread: its arguments as printed, and how many operations there were when it was made.
type call struct {
	name, args string
	began      int
	fd         *descriptor // that its first argument was then; a close takes effect when it is made
}

// trace turns the logs of strace into operations. Files keep their numbers from one life of the server to the next.
type trace struct {
	dir   string // the data folder, without symbolic links
	ops   []op
	names map[string]int // of the files that there are now
	sizes []int64        // by number of file
	label []string       // the first name of each file

	life    int
	fds     map[int]*descriptor
	open    map[string]call // by thread: calls that have not returned
	answers map[connID]int
}

func newTrace(dir string) *trace {
	return &trace{dir: dir, names: map[string]int{}, sizes: []int64{0}, label: []string{""}, answers: map[connID]int{}}
}

// tracedCalls are all that can change the data folder, sync it, or answer a sender. Those that the server is not known to
// make are traced so that a recording with one of them is refused.
const tracedCalls = "execve,accept4,open,openat,openat2,creat,close,lseek,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate," +
	"fsync,fdatasync,sync_file_range,msync,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir," +
	"mmap,dup,dup2,dup3,copy_file_range,sendfile,splice"

// maxLine bounds a line of the log: four characters for each byte of the longest write.
const maxLine = 4*maxTracedBytes + 1<<16

// read takes up the log of one more life. The calls that had not returned when the server ended are left in t.open.
func (t *trace) read(r io.Reader) error {
	t.life++
	t.fds, t.open = map[int]*descriptor{}, map[string]call{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<20), maxLine)
	for n := 1; lines.Scan(); n++ {
		if err := t.line(lines.Text()); err != nil {
			return fmt.Errorf("line %d of the log of life %d: %w: %s", n, t.life, err, clip(lines.Text()))
		}
	}
	return lines.Err()
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:100] + "…" + s[len(s)-100:]
	}
	return s
}

// line takes up one line: "PID name(arguments) = result", or one of its halves when other threads came between.
func (t *trace) line(s string) error {
	pid, rest, ok := strings.Cut(s, " ")
	rest = strings.TrimLeft(rest, " ")
	if !ok || strings.HasPrefix(rest, "+++") || strings.HasPrefix(rest, "---") {
		return nil
	}
	if after, ok := strings.CutPrefix(rest, "<... "); ok {
		c, known := t.open[pid]
		_, tail, ok := strings.Cut(after, " resumed>")
		if !known || !ok {
			return errors.New("a call returned that was not made")
		}
		delete(t.open, pid)
		args, result, ok := splitResult(tail)
		if !ok {
			return errors.New("no result")
		}
		c.args += args
		if result == "?" {
			t.open[pid] = c
			return nil
		}
		return t.returned(c, result)
	}
	name, args, ok := strings.Cut(rest, "(")
	if !ok {
		return errors.New("not a call")
	}
	c := call{name: name, began: len(t.ops)}
	if head, ok := strings.CutSuffix(args, " <unfinished ...>"); ok {
		c.args = head
		if err := t.made(&c); err != nil {
			return err
		}
		t.open[pid] = c
		return nil
	}
	var result string
	if c.args, result, ok = splitResult(args); !ok {
		return errors.New("no result")
	}
	c.args = strings.TrimSuffix(c.args, " <unfinished ...>")
	if err := t.made(&c); err != nil {
		return err
	}
	if result == "?" { // the server was killed meanwhile
		t.open[pid] = c
		return nil
	}
	return t.returned(c, result)
}

// splitResult takes "arguments) = result" apart.
func splitResult(s string) (args, result string, ok bool) {
	i := strings.LastIndex(s, " = ")
	if i < 0 {
		return "", "", false
	}
	args, ok = strings.CutSuffix(strings.TrimRight(s[:i], " "), ")")
	return args, s[i+3:], ok
}

// made is the moment at which a call was made: what its descriptor means, and that an answer may now reach the sender.
func (t *trace) made(c *call) error {
	if n, ok := leadingInt(c.args); ok {
		c.fd = t.fds[n]
		if c.name == "close" {
			delete(t.fds, n) // the kernel may give the number to another thread before this call is seen to return
		}
	}
	if c.fd == nil || c.fd.conn == nil || c.name != "write" {
		return nil
	}
	fields := strings.SplitN(c.args, ", ", 3)
	if len(fields) < 2 {
		return errors.New("a write without contents")
	}
	text, err := unquote(fields[1])
	if err != nil || !bytes.HasPrefix(text, []byte("HTTP/1.1 ")) {
		return err // the rest of a long answer
	}
	status, err := strconv.Atoi(string(text[9:min(12, len(text))]))
	if err != nil {
		return err
	}
	id := *c.fd.conn
	t.ops = append(t.ops, op{kind: opAnswer, answer: answer{conn: id, n: t.answers[id], status: status}})
	t.answers[id]++
	return nil
}

// returned is the moment at which a call returned: what it did has happened.
func (t *trace) returned(c call, result string) error {
	ret, ok := leadingInt(result)
	if !ok || ret < 0 {
		return nil // it failed, or will be made again
	}
	fields := strings.Split(c.args, ", ")
	switch c.name {
	case "execve", "close":
		return nil
	case "accept4":
		if _, port, ok := strings.Cut(c.args, "sin_port=htons("); ok {
			n, _ := leadingInt(port)
			t.fds[ret] = &descriptor{conn: &connID{t.life, n}}
		}
		return nil
	case "mmap":
		return t.mapped(c.args, fields)
	case "open":
		return t.opened(ret, fields, 0)
	case "openat":
		return t.opened(ret, fields, 1)
	case "rename":
		return t.renamed(fields, 0, 1)
	case "renameat", "renameat2":
		return t.renamed(fields, 1, 3)
	case "unlink":
		return t.removed(fields, 0)
	case "unlinkat":
		return t.removed(fields, 1)
	}
	d := c.fd
	if d == nil || d.conn != nil {
		if t.touches(c) {
			return errors.New("the recording cannot follow this call")
		}
		return nil
	}
	return t.fileCall(d, c, fields, ret)
}

// touches says whether a call whose descriptor is none of ours is about the data folder all the same: by the path that
// strace prints for a descriptor, or, where strings are paths, by one of these.
func (t *trace) touches(c call) bool {
	dir, slash := hexOf(t.dir), hexOf("/")
	return strings.Contains(c.args, "<"+dir+">") || strings.Contains(c.args, "<"+dir+slash) ||
		!strings.Contains(c.name, "write") && strings.Contains(c.args, `"`+dir+slash)
}

// fileCall takes up a call on a file of the data folder, or on the folder, that has returned.
func (t *trace) fileCall(d *descriptor, c call, fields []string, ret int) error {
	switch {
	case d.skip:
		return nil
	case d.dir && (c.name == "fsync" || c.name == "fdatasync"):
		t.ops = append(t.ops, op{kind: opSyncDir, covers: c.began})
		return nil
	case d.dir:
		return nil
	}
	switch c.name {
	case "fsync", "fdatasync":
		t.ops = append(t.ops, op{kind: opSync, file: d.file, covers: c.began})
	case "lseek":
		d.pos = int64(ret)
	case "write":
		if err := t.wrote(d.file, fields[1], d.pos, ret); err != nil {
			return err
		}
		d.pos += int64(ret)
	case "pwrite64":
		off, err := strconv.ParseInt(fields[len(fields)-1], 10, 64)
		if err != nil {
			return err
		}
		return t.wrote(d.file, fields[1], off, ret)
	case "ftruncate":
		size, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return err
		}
		t.truncated(d.file, size)
	case "sync_file_range": // promises nothing
	default:
		return errors.New("the recording cannot follow this call")
	}
	return nil
}

// mapped refuses a recording in which a file other than SQLite's shared memory is written through memory.
func (t *trace) mapped(args string, fields []string) error {
	if len(fields) < 5 || !strings.Contains(args, "MAP_SHARED") || !strings.Contains(args, "PROT_WRITE") {
		return nil
	}
	if n, ok := leadingInt(fields[4]); ok && t.fds[n] != nil && !t.fds[n].skip {
		return errors.New("a file is written through memory, which the recording cannot see")
	}
	return nil
}

func (t *trace) wrote(file int, quoted string, off int64, n int) error {
	data, err := unquote(quoted)
	if err != nil {
		return err
	}
	if n > len(data) {
		return fmt.Errorf("%d bytes were written, %d recorded", n, len(data))
	}
	t.ops = append(t.ops, op{kind: opWrite, file: file, off: off, data: data[:n]})
	t.sizes[file] = max(t.sizes[file], off+int64(n))
	return nil
}

func (t *trace) truncated(file int, size int64) {
	t.ops = append(t.ops, op{kind: opTruncate, file: file, off: size})
	t.sizes[file] = size
}

// inDir returns the name in the data folder that a quoted path means; dir says that it is the folder itself.
func (t *trace) inDir(quoted string) (name string, dir, ok bool, err error) {
	b, err := unquote(quoted)
	if err != nil {
		return "", false, false, err
	}
	path := filepath.Clean(string(b))
	if path == t.dir {
		return "", true, true, nil
	}
	name, ok = strings.CutPrefix(path, t.dir+"/")
	if ok && strings.Contains(name, "/") {
		return "", false, false, errors.New("the recording knows no folders in the data folder")
	}
	return name, false, ok, nil
}

func isSharedMemory(name string) bool { return strings.HasSuffix(name, "-shm") }

func (t *trace) opened(fd int, fields []string, at int) error {
	name, dir, ok, err := t.inDir(fields[at])
	if err != nil || !ok {
		delete(t.fds, fd)
		return err
	}
	flags := fields[at+1]
	d := &descriptor{dir: dir, skip: isSharedMemory(name)}
	t.fds[fd] = d
	if d.dir || d.skip {
		return nil
	}
	if d.file = t.names[name]; d.file == 0 {
		d.file = len(t.sizes)
		t.sizes, t.label = append(t.sizes, 0), append(t.label, name)
		t.names[name] = d.file
		t.ops = append(t.ops, op{kind: opName, file: d.file, to: name})
	}
	if strings.Contains(flags, "O_TRUNC") && t.sizes[d.file] > 0 {
		t.truncated(d.file, 0)
	}
	if strings.Contains(flags, "O_APPEND") {
		return errors.New("the recording does not follow files that are appended to")
	}
	return nil
}

func (t *trace) renamed(fields []string, from, to int) error {
	a, _, okA, err := t.inDir(fields[from])
	if err != nil {
		return err
	}
	b, _, okB, err := t.inDir(fields[to])
	if err != nil {
		return err
	}
	if !okA && !okB {
		return nil
	}
	file := t.names[a]
	if !okA || !okB || file == 0 || len(fields) == 5 && fields[4] != "0" {
		return errors.New("the recording cannot follow this renaming")
	}
	delete(t.names, a)
	t.names[b] = file
	t.ops = append(t.ops, op{kind: opName, file: file, from: a, to: b})
	return nil
}

func (t *trace) removed(fields []string, at int) error {
	name, _, ok, err := t.inDir(fields[at])
	if err != nil || !ok || t.names[name] == 0 { // a socket, or shared memory
		return err
	}
	t.ops = append(t.ops, op{kind: opUnname, file: t.names[name], from: name})
	delete(t.names, name)
	return nil
}

// leadingInt reads the number that s begins with: "-1 ENOENT (…)", "9</path>".
func leadingInt(s string) (int, bool) {
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || end == 0 && s[end] == '-') {
		end++
	}
	n, err := strconv.Atoi(s[:end])
	return n, err == nil
}

// unquote reads a string as strace prints it when told to print every byte in hex: "\x0a\x00".
func unquote(s string) ([]byte, error) {
	body, ok := strings.CutPrefix(s, `"`)
	if !ok || !strings.HasSuffix(body, `"`) || len(body)%4 != 1 {
		return nil, errors.New("a string was not recorded in full")
	}
	out := make([]byte, len(body)/4)
	for i := range out {
		at := body[4*i : 4*i+4]
		high, low := nibble(at[2]), nibble(at[3])
		if at[:2] != `\x` || high > 15 || low > 15 {
			return nil, errors.New("a string was not recorded in hex")
		}
		out[i] = high<<4 | low
	}
	return out, nil
}

// nibble returns what a hex digit means, and more than 15 for anything else.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 16
}

// hexOf writes s as strace does.
func hexOf(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, `\x%02x`, s[i])
	}
	return b.String()
}
