//go:build unix

package main

import "syscall"

// halt stops a process where it stands; proceed lets it go on.
func halt(pid int) error    { return syscall.Kill(pid, syscall.SIGSTOP) }
func proceed(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }
