//go:build !linux && !darwin

package machine

import "errors"

func openFiles() (uint64, error) {
	return 0, errors.New("this system has no such limit that can be asked for")
}
