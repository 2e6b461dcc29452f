//go:build !linux && !darwin

package machine

import (
	"errors"
	"os"
	"strings"
)

// dataSync makes what was written safe, as commits do.
func dataSync(f *os.File) error { return f.Sync() }

// fsType knows a folder that is on another machine.
func fsType(dir string) (string, error) {
	if strings.HasPrefix(dir, `\\`) {
		return "network", nil
	}
	return "", errors.New("this system does not tell")
}
