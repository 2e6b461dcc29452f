//go:build linux || darwin

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// servant is whom a process of root runs the servers as. It returns nil for others, who run them as themselves.
func servant() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

// giveAway makes the one who runs the servers the owner of a file.
func giveAway(path string) error {
	who, err := servant()
	if who == nil || err != nil {
		return err
	}
	return os.Chown(path, int(who.Uid), int(who.Gid))
}

// inMemory returns a folder whose files lie in memory and that has room for tests, or "". To make and drop a database there takes a
// quarter of the time: each has 300 files, which on a disk wait for whatever else is synced.
func inMemory() string {
	const dir, room = "/dev/shm", 2 << 30 // containers often have 64 MB there
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil || s.Bavail*uint64(s.Bsize) < room {
		return ""
	}
	return dir
}

// asOwner makes cmd run as who owns the folder.
func asOwner(cmd *exec.Cmd) error {
	who, err := servant()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	return err
}

// detach puts cmd into a session of its own: no terminal interrupts it.
func detach(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
}

// reap says whether a child of this process has ended, and what processor time it and its own children took.
func reap(pid int) (spent time.Duration, ended bool) {
	var usage syscall.Rusage
	switch got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, &usage); {
	case got == pid:
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), true
	default:
		return 0, errors.Is(err, syscall.ECHILD)
	}
}

// signals are what the servers are sent, by what it makes them do.
var signals = map[string]syscall.Signal{
	string(Smart): syscall.SIGTERM, string(Fast): syscall.SIGINT, string(Immediate): syscall.SIGQUIT,
	"kill": syscall.SIGKILL, "pause": syscall.SIGSTOP, "resume": syscall.SIGCONT,
}

// signal sends one of signals. A process that is gone already is no error.
func signal(pid int, what string) error {
	if err := syscall.Kill(pid, signals[what]); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s process %d: %w", what, pid, err)
	}
	return nil
}
