package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// ownFiles is how many files the server opens besides connections: the database, its indexes, profiles, sockets.
const ownFiles = 256

func fileLimit(_ context.Context, o *Options) Finding {
	limit, err := openFiles()
	if err != nil {
		return skip("how many files a process may open is not told: " + err.Error())
	}
	return judgeFiles(limit, o.MaxConnections, o.MaxInFlight)
}

func judgeFiles(limit uint64, connections, inFlight int) Finding {
	need := uint64(connections + inFlight + ownFiles)
	f := Finding{Result: OK, Found: fmt.Sprintf("a process started here may open %d files, and up to %d are needed", limit, need)}
	if limit >= need {
		return f
	}
	f.Result = Warn
	f.Meaning = fmt.Sprintf("max_connections (%d) and max_in_flight (%d) together go beyond it: under a rush connections are not taken", connections, inFlight)
	f.Fix = fmt.Sprintf("LimitNOFILE=%d in the systemd unit, or ulimit -n %d before the start; or lower the two settings", need, need)
	if limit < uint64(inFlight+ownFiles) {
		f.Result = Fail
	}
	return f
}

// memoryWarn is the least memory that leaves room for a rush, the page cache of the database and indexes in memory.
const memoryWarn = 256 * mib

func memory(context.Context, *Options) Finding {
	if runtime.GOOS != "linux" {
		return skip("this system does not tell how much this process may use")
	}
	limit, from, err := memoryLimit("/")
	if err != nil {
		return skip("how much memory this process may use is not told: " + err.Error())
	}
	return judgeMemory(limit, from)
}

func judgeMemory(limit uint64, from string) Finding {
	f := Finding{Result: OK, Found: sizeText(limit) + ", " + from}
	if limit < memoryWarn {
		f.Result, f.Meaning = Warn, "under a rush the system may end the process: nothing acknowledged is lost, and networks have to repeat"
		f.Fix = "give it 256 MiB or more, and set GOMEMLIMIT to nine tenths of that"
	}
	return f
}

// memoryLimit is the least of what the machine has and of what the control groups above this process allow.
func memoryLimit(root string) (limit uint64, from string, err error) {
	info, err := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return 0, "", err
	}
	var kib uint64
	if _, err := fmt.Sscanf(string(info), "MemTotal: %d kB", &kib); err != nil {
		return 0, "", fmt.Errorf("/proc/meminfo: %w", err)
	}
	limit, from = kib<<10, "all that the machine has"
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return limit, from, nil // no control groups: nothing else bounds it
	}
	for line := range strings.Lines(string(groups)) {
		path, unified := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !unified {
			continue
		}
		for dir := filepath.Clean("/" + path); ; dir = filepath.Dir(dir) {
			text, err := os.ReadFile(filepath.Join(root, "sys/fs/cgroup", dir, "memory.max"))
			if n, bad := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil && n < limit {
				limit, from = n, "allowed by its control group"
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return limit, from, nil
}
