package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of processor time in /proc: every platform that Go runs Linux on has 100 a second.
const clockTick = 10 * time.Millisecond

// Usage is what a running process has taken so far.
type Usage struct {
	CPU     time.Duration // user and system, to 10 ms
	RSS     int64         // bytes of memory now
	PeakRSS int64         // the most it ever had
}

// Usage reads the account that Linux keeps of the process.
func (p *Process) Usage() (Usage, error) {
	dir := fmt.Sprintf("/proc/%d/", p.Pid())
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return Usage{}, fmt.Errorf("read what the process takes: %w", err)
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return Usage{}, fmt.Errorf("read what the process takes: %w", err)
	}
	u := Usage{RSS: kib(string(status), "VmRSS:"), PeakRSS: kib(string(status), "VmHWM:")}
	u.CPU, err = cpuOf(string(stat))
	return u, err
}

// cpuOf reads user and system time from /proc/PID/stat. The name of the process stands in parentheses and may hold spaces.
func cpuOf(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const user, system = 11, 12 // fields 14 and 15 of the line; the first two are gone
	if len(fields) <= system {
		return 0, fmt.Errorf("the account of the process has %d fields", len(fields))
	}
	u, err1 := strconv.ParseInt(fields[user], 10, 64)
	s, err2 := strconv.ParseInt(fields[system], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("the account of the process has no numbers for its time: %q, %q", fields[user], fields[system])
	}
	return time.Duration(u+s) * clockTick, nil
}

// kib returns a size from /proc/PID/status in bytes; zero when the line is absent.
func kib(status, name string) int64 {
	_, rest, ok := strings.Cut(status, "\n"+name)
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(fields[0], 10, 64) // the kernel writes digits
	return n * 1024
}

// Memory is how much the machine has, in bytes; 0 where the platform does not tell.
func Memory() int64 {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return kib("\n"+string(info), "MemTotal:")
}
