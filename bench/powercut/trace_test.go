package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// log writes lines of strace: «text» stands for text as strace prints it, in hex.
func log(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		for {
			head, rest, ok := strings.Cut(line, "«")
			text, tail, ok2 := strings.Cut(rest, "»")
			if !ok || !ok2 {
				break
			}
			line = head + hexOf(text) + tail
		}
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

func TestTraceFollowsWhatHappened(t *testing.T) {
	tr := newTrace("/data")
	err := tr.read(strings.NewReader(log(
		`10 execve("«/bin/carom»", ["«carom»", "«/data»"], 0x7ffc /* 35 vars */) = 0`,
		`10 openat(AT_FDCWD<«/»>, "«/data/a.tmp»", O_RDWR|O_CREAT|O_TRUNC, 0600) = 5<«/data/a.tmp»>`,
		`10 open("«/etc/hosts»", O_RDONLY) = 6<«/etc/hosts»>`,
		`10 write(6<«/etc/hosts»>, "«no»", 2) = 2`,
		`10 write(5<«/data/a.tmp»>, "«abc»", 3) = 3`,
		`11 fsync(5<«/data/a.tmp»> <unfinished ...>`,
		`10 write(5<«/data/a.tmp»>, "«de»", 2)     = 1`, // after the sync began, and only in part
		`11 <... fsync resumed>)              = 0`,
		`10 --- SIGURG {si_signo=SIGURG} ---`,
		`10 renameat(AT_FDCWD<«/»>, "«/data/a.tmp»", AT_FDCWD<«/»>, "«/data/a»") = 0`,
		`10 open("«/data»", O_RDONLY|O_CLOEXEC) = 7<«/data»>`,
		`10 fsync(7<«/data»>) = 0`,
		`10 pwrite64(5<«/data/a»>, "«x»", 1, 9) = -1 ENOSPC (No space left on device)`,
		`10 open("«/data/a»", O_RDWR) = 8<«/data/a»>`,
		`10 ftruncate(8<«/data/a»>, 2) = 0`,
		`12 accept4(3<socket:[1]>,  <unfinished ...>`,
		`10 close(8<«/data/a»> <unfinished ...>`,
		`12 <... accept4 resumed>{sa_family=AF_INET, sin_port=htons(4711), sin_addr=inet_addr("127.0.0.1")}, [112 => 16], SOCK_CLOEXEC) = 8<socket:[2]>`,
		`10 <... close resumed>) = 0`,
		`12 write(8<socket:[2]>, "«HTTP/1.1 200 OK»", 15 <unfinished ...>`,
		`10 unlinkat(AT_FDCWD<«/»>, "«/data/a»", 0) = 0`,
		`12 <... write resumed>) = 15`,
		`12 write(8<socket:[2]>, "«HTTP/1.1 503 later»", 18) = 18`,
		`12 fsync(5<«/data/a»> <unfinished ...>) = ?`,
		`12 +++ killed by SIGKILL +++`,
	)))
	if err != nil {
		t.Fatal(err)
	}
	want := []op{
		{kind: opName, file: 1, to: "a.tmp"},
		{kind: opWrite, file: 1, data: []byte("abc")},
		{kind: opWrite, file: 1, off: 3, data: []byte("d")},
		{kind: opSync, file: 1, covers: 2},
		{kind: opName, file: 1, from: "a.tmp", to: "a"},
		{kind: opSyncDir, covers: 5},
		{kind: opTruncate, file: 1, off: 2},
		{kind: opAnswer, answer: answer{connID{1, 4711}, 0, 200}},
		{kind: opUnname, file: 1, from: "a"},
		{kind: opAnswer, answer: answer{connID{1, 4711}, 1, 503}},
	}
	if diff := cmp.Diff(want, tr.ops, cmp.AllowUnexported(op{}, answer{}, connID{})); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
	if len(tr.open) != 1 || tr.open["12"].name != "fsync" {
		t.Errorf("calls under way at the end: %+v, want the sync", tr.open)
	}
}

func TestTraceRefusesWhatItCannotFollow(t *testing.T) {
	for _, line := range []string{
		`10 fallocate(5<«/data/a»>, 0, 0, 100) = 0`,
		`10 pwritev(5<«/data/a»>, [{iov_base="«x»", iov_len=1}], 1, 0) = 1`,
		`10 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 5<«/data/a»>, 0) = 0x7f0000000000`,
		`10 dup(5<«/data/a»>) = 9<«/data/a»>`,
		`10 pwrite64(9<«/data/a»>, "«x»", 1, 0) = 1`,
		`10 pwrite64(5<«/data/a»>, "«x»"..., 2, 0) = 2`,
		`10 open("«/data/b»", O_WRONLY|O_CREAT|O_APPEND, 0600) = 9<«/data/b»>`,
		`10 mkdirat(AT_FDCWD<«/»>, "«/data/b»", 0700) = 0`,
		`10 rename("«/data/a»", "«/elsewhere»") = 0`,
		`11 <... fsync resumed>) = 0`,
	} {
		tr := newTrace("/data")
		if err := tr.read(strings.NewReader(log(`10 open("«/data/a»", O_RDWR|O_CREAT, 0600) = 5<«/data/a»>`, line))); err == nil {
			t.Errorf("%s was taken up as %+v", line, tr.ops)
		}
	}
}
