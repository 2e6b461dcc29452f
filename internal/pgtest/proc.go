package pgtest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// CPU is the processor time, user and system, that all processes of the server have taken so far, to 10 ms each; those of past
// runs included, but for sessions that [Cluster.Kill] ended.
func (c *Cluster) CPU() (time.Duration, error) {
	for {
		c.home.ended() // takes note of what it took
		c.home.mu.Lock()
		pid, spent := c.home.pid, c.home.spent
		c.home.mu.Unlock()
		if pid == 0 {
			return spent, nil
		}
		before, err := accountOf(pid)
		if err != nil {
			return 0, err
		}
		now, err := childrenTime(pid)
		if err != nil {
			return 0, err
		}
		// A child that ends is added to its parent's account: what was read counts only if none did meanwhile.
		if after, err := accountOf(pid); err == nil && after.reaped == before.reaped {
			return spent + after.own + after.reaped + now, nil
		}
	}
}

// childrenTime adds up what the children of a process have taken, with their own children.
func childrenTime(pid int) (sum time.Duration, err error) {
	children, err := childrenOf(pid)
	if err != nil {
		return 0, err
	}
	for _, child := range children {
		a, err := accountOf(child)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
		sum += a.own + a.reaped
	}
	return sum, nil
}

// account is what Linux keeps of a process.
type account struct {
	own, reaped time.Duration // of the process; of its children that have ended
	zombie      bool          // it has ended, and nobody waited for it yet
}

// clockTick is the unit of processor time in /proc: every platform that Go runs Linux on has 100 a second.
const clockTick = 10 * time.Millisecond

func accountOf(pid int) (account, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return account{}, fmt.Errorf("read what the server takes: %w", err)
	}
	// The name of the process stands in parentheses and may hold spaces. What follows begins with the third field of proc(5).
	stat := string(text)
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const state, utime, cutime = 0, 11, 13
	if len(fields) <= cutime+1 {
		return account{}, fmt.Errorf("read what the server takes: %d fields in %q", len(fields), stat)
	}
	ticks := func(field int) time.Duration { // user, and system in the next field
		user, _ := strconv.ParseInt(fields[field], 10, 64) // the kernel writes digits
		system, _ := strconv.ParseInt(fields[field+1], 10, 64)
		return time.Duration(user+system) * clockTick
	}
	return account{own: ticks(utime), reaped: ticks(cutime), zombie: fields[state] == "Z"}, nil
}

// alive says whether a process runs, or is halted.
func alive(pid int) bool {
	a, err := accountOf(pid)
	return err == nil && !a.zombie
}

// childrenOf lists the children of a process. All processes of a PostgreSQL server are children of its first.
func childrenOf(pid int) ([]int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, fmt.Errorf("list the server's processes: %w", err)
	}
	var children []int
	for _, field := range strings.Fields(string(text)) {
		child, _ := strconv.Atoi(field) // the kernel writes digits
		children = append(children, child)
	}
	return children, nil
}

// signalAll signals processes.
func signalAll(pids []int, what string) error {
	for _, pid := range pids {
		if err := signal(pid, what); err != nil {
			return err
		}
	}
	return nil
}
