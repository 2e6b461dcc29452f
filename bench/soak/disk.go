package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// disk is the file system that the data folder lies on.
type disk struct {
	dir   string // where the server's folder goes
	kind  string // ext4 in a file, tmpfs, or none of its own
	root  string // the folder of the run
	image string // path of the file with the file system; empty: there is none
}

// The kinds of file systems.
const (
	kindLoop  = "ext4 on a loop device"
	kindTmpfs = "tmpfs"
	kindNone  = "none of its own"
)

// mountDisk makes a file system of so many megabytes below dir: one on the disk where that is possible, so that a sync costs what it
// costs there, else one in memory. Who may not mount gets the folder as it is.
func mountDisk(ctx context.Context, dir string, megabytes int) (*disk, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	d := &disk{dir: filepath.Join(dir, "disk"), kind: kindNone, root: dir}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return nil, err
	}
	if megabytes == 0 || os.Geteuid() != 0 {
		return d, nil
	}
	image := filepath.Join(dir, "disk.img")
	size := fmt.Sprintf("%dM", megabytes)
	err = errors.Join(command(ctx, "truncate", "-s", size, image), command(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", image))
	if err == nil {
		err = command(ctx, "mount", "-o", "loop", image, d.dir)
	}
	if err == nil {
		d.kind, d.image = kindLoop, image
		return d, nil
	}
	_ = os.Remove(image) // it is of no use
	if command(ctx, "mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", d.dir) == nil {
		d.kind = kindTmpfs
	}
	return d, nil
}

// unmount gives the file system back. A folder that is none of its own stays.
func (d *disk) unmount() error {
	if d.kind == kindNone {
		return nil
	}
	err := command(context.Background(), "umount", d.dir)
	d.kind = kindNone
	if d.image != "" {
		err = errors.Join(err, os.Remove(d.image))
	}
	return err
}

// clear removes everything.
func (d *disk) clear() error { return errors.Join(d.unmount(), os.RemoveAll(d.root)) }

// fill takes all room that is left. The returned function gives it back.
func (d *disk) fill(ctx context.Context) (free func() error, err error) {
	path := filepath.Join(d.dir, "ballast")
	out, err := exec.CommandContext(ctx, "df", "--output=avail", "-B1", d.dir).Output()
	if err != nil {
		return nil, fmt.Errorf("ask for the room that is left: %w", err)
	}
	lines := strings.Fields(string(out))
	room, err := strconv.ParseInt(lines[len(lines)-1], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("ask for the room that is left: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	free = func() error { return errors.Join(f.Close(), os.Remove(path)) }
	// What the server takes meanwhile is not there any more, so that not all may be had at once.
	for room > 1<<20 && command(ctx, "fallocate", "-l", strconv.FormatInt(room, 10), path) != nil {
		room = room * 9 / 10
	}
	if _, err := f.Seek(0, 2); err != nil {
		return free, err
	}
	for chunk := make([]byte, 1<<20); len(chunk) > 0; { // ever smaller pieces, until not even a byte fits
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			return free, err
		}
	}
	return free, nil
}

func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
