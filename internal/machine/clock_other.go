//go:build !linux

package machine

import "errors"

func synced() (bool, error) { return false, errors.New("this system does not tell") }
