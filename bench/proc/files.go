package proc

import (
	"fmt"
	"os"
)

// OpenFiles is how many descriptors the running process has, as Linux lists them.
func (p *Process) OpenFiles() (int, error) {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Pid()))
	if err != nil {
		return 0, fmt.Errorf("count the open files of the process: %w", err)
	}
	return len(list), nil
}

// AnonymousRSS is the memory that the running process has for itself, in bytes: without the pages of files that it has mapped,
// which the kernel takes back when it needs them.
func (p *Process) AnonymousRSS() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		return 0, fmt.Errorf("read what the process takes: %w", err)
	}
	return kib(string(status), "RssAnon:"), nil
}
