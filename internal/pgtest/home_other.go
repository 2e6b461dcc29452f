//go:build !linux && !darwin

package pgtest

import (
	"errors"
	"os/exec"
	"time"
)

// errSystem is what every start ends with here.
var errSystem = errors.New("PostgreSQL is started for tests on Linux and macOS only")

func giveAway(string) error { return errSystem }

func inMemory() string { return "" }

func asOwner(*exec.Cmd) error { return errSystem }

func detach(*exec.Cmd) {}

func reap(int) (spent time.Duration, ended bool) { return 0, true }

func signal(int, string) error { return errSystem }
