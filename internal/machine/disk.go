package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Room on a disk. Shares count on small disks alone: a tenth of a large one is room for years.
const (
	mib       = 1 << 20
	gib       = 1 << 30
	roomFail  = 200 * mib
	roomWarn  = gib
	smallFail = 5 * gib  // with less than so much, under 2 % is too little
	smallWarn = 50 * gib // with less than so much, under 10 % is worth a look
)

// Room judges how much is free on the disk of a data folder: Fail when postbacks will soon be answered with try later.
func Room(free, total uint64) Result {
	switch {
	case total == 0:
		return Skip
	case free < roomFail || free < smallFail && free < total/50:
		return Fail
	case free < roomWarn || free < smallWarn && free < total/10:
		return Warn
	}
	return OK
}

func space(_ context.Context, o *Options) Finding {
	free, total, err := Space(o.folder())
	if err != nil {
		return skip("the room on the disk of " + o.folder() + " is not told: " + err.Error())
	}
	f := Finding{Result: Room(free, total), Found: fmt.Sprintf("%s of %s free at %s", sizeText(free), sizeText(total), o.folder())}
	if f.Result == Warn || f.Result == Fail {
		f.Meaning = "when the disk is full, every postback is answered with try later, and networks give up in time"
		f.Fix = "free space or enlarge the disk; to keep less, shorten `retention`"
	}
	return f
}

// sizeText writes a number of bytes for a person.
func sizeText(n uint64) string {
	if n < gib {
		return fmt.Sprintf("%d MiB", n/mib)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/gib)
}

// syncs is how often the disk is made to sync: enough for a p99 that means something, and a second on a slow disk.
const syncs = 64

// How long one sync may take. A postback is answered after the sync of its commit; networks give up after five seconds, some
// after three. Commits share syncs, so that the median bounds the time of an answer rather than the rate.
const (
	syncFast     = 5 * time.Microsecond // faster than any disk: nothing was made safe
	syncWarn     = 20 * time.Millisecond
	syncFail     = 250 * time.Millisecond
	syncTailWarn = 500 * time.Millisecond
	syncTailFail = 2 * time.Second
)

// speed measures how long a commit has to wait for the disk.
func speed(ctx context.Context, o *Options) Finding {
	dir := o.folder()
	took, err := measureSyncs(ctx, dir, o.syncs)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return Finding{
			Result: Fail, Found: "nothing can be written in " + dir, Meaning: "the server cannot keep its data there as this user",
			Fix: "run this check as the user that the server runs as, or give the folder to it",
		}
	case err != nil:
		return Finding{
			Result: Fail, Found: "a file cannot be written in " + dir + ": " + err.Error(), Meaning: "the server cannot keep its data there",
			Fix: "repair the disk, or name another folder with --data",
		}
	}
	slices.Sort(took)
	return judgeSyncs(took[len(took)/2], took[len(took)*99/100])
}

// measureSyncs appends to a file of its own, as commits do, and removes it.
func measureSyncs(ctx context.Context, dir string, n int) (took []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".carom-check-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4096)
	end := time.Now().Add(15 * time.Second)
	for i := range n {
		page[0] = byte(i)
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := dataSync(f); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
		if ctx.Err() != nil || time.Now().After(end) {
			break // slow enough to be judged
		}
	}
	return took, nil
}

func judgeSyncs(median, p99 time.Duration) Finding {
	f := Finding{Result: OK, Found: fmt.Sprintf("a sync takes %s, one in a hundred %s", short(median), short(p99))}
	const (
		better = "use a local SSD for the data folder"
		waits  = "each postback is answered after a sync: "
	)
	switch {
	case median < syncFast:
		f.Result, f.Meaning = Warn, "no disk is as fast: it is memory, or does not do what it is asked, and a power cut may lose what was acknowledged"
		f.Fix = "put the data folder on a disk that syncs"
	case median >= syncFail || p99 >= syncTailFail:
		f.Result, f.Meaning, f.Fix = Fail, waits+"networks that give up after a few seconds lose events at times", better
	case median >= syncWarn || p99 >= syncTailWarn:
		f.Result, f.Meaning, f.Fix = Warn, waits+"answers are slow, though many share one sync", better
	}
	return f
}

func short(d time.Duration) string {
	if d < time.Millisecond {
		return d.Round(time.Microsecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

// fileSystem judges what kind of file system holds the data folder.
func fileSystem(_ context.Context, o *Options) Finding {
	name, err := fsType(o.folder())
	if err != nil {
		return skip("its kind is not told: " + err.Error())
	}
	return judgeFS(name)
}

func judgeFS(name string) Finding {
	f := ok(name)
	switch name {
	case "nfs", "nfs4", "cifs", "smb", "smbfs", "smb2", "afpfs", "webdav", "ceph", "afs", "network":
		f.Result, f.Meaning = Fail, "locks and syncs of a network file system do not hold what a database needs: acknowledged events may be lost"
		f.Fix = "put the data folder on a local disk, and use carom backup for copies elsewhere"
	case "fuse", "macfuse", "9p":
		f.Result, f.Meaning = Warn, "it is made by a program: whether its locks and syncs hold is not known, and shared memory may be missing"
		f.Fix = "put the data folder on a local disk"
	case "tmpfs", "ramfs":
		f.Result, f.Meaning, f.Fix = Warn, "it is in memory, and gone when the machine restarts", "put the data folder on a disk"
	case "overlay":
		f.Result, f.Meaning, f.Fix = Warn, "it is the container's own layer, and gone with the container", "mount a volume for the data folder"
	}
	return f
}
