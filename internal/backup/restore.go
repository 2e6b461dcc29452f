package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"carom"
	"carom/internal/store"
)

// Restored is what [Restore] made.
type Restored struct {
	Manifest
	store.Checked
	Folder string
	Aside  string // where what was in the folder before lies now; empty: it was empty
}

// Restore makes the data folder dir of a backup. It unpacks in a folder within dir, checks every sum, the database and the
// ledger, and only then moves the files to their place: until then dir is as it was. A store that is there already is moved
// aside if replace says so, never deleted. No carom can start in dir meanwhile, nor after a restore that was killed between
// its last moves. The next start begins a new life, so that no id is given out twice.
//
// It returns carom.ErrConflict when dir is in use or not empty, carom.ErrInvalid for a backup that cannot be used, and
// carom.ErrUnavailable when the disk does not take it.
func Restore(ctx context.Context, r io.Reader, dir string, replace bool, opts store.Options) (_ Restored, err error) {
	have, release, err := claim(dir, replace)
	if err != nil {
		return Restored{}, err
	}
	defer func() { err = errors.Join(err, release()) }()
	made, err := os.MkdirTemp(dir, "restoring-")
	if err != nil {
		return Restored{}, unavailable(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(made)) }()
	out := Restored{Folder: dir}
	if out.Manifest, err = unpackTo(ctx, r, made); err == nil {
		out.Checked, err = check(ctx, made, opts)
	}
	if err != nil {
		return Restored{}, fmt.Errorf("the backup cannot be used, and nothing was changed: %w", err)
	}
	if err = takeOwner(dir, made, filepath.Join(dir, store.LockFile)); err != nil {
		return Restored{}, fmt.Errorf("give the files to the owner of %s: %w", dir, unavailable(err))
	}
	out.Aside, err = exchange(dir, made, have)
	return out, err
}

// claim makes sure that nobody uses dir until release is called, and that it may be replaced. It returns the names of the
// store's files in it.
func claim(dir string, replace bool) (have []string, release func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, unavailable(err)
	}
	lock := flock.New(filepath.Join(dir, store.LockFile))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, nil, fmt.Errorf("data folder %s cannot be written: %w", dir, unavailable(err))
	}
	if !ok {
		return nil, nil, fmt.Errorf("the data folder %s is in use by a running carom: stop it first: %w", dir, carom.ErrConflict)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if store.Owns(e.Name()) {
			have = append(have, e.Name())
		}
	}
	if err == nil && len(have) > 0 && !replace {
		err = fmt.Errorf("the data folder %s holds data: name another with --data, or have its files moved aside with --replace: %w",
			dir, carom.ErrConflict)
	}
	if err != nil {
		return nil, nil, errors.Join(err, lock.Unlock())
	}
	return have, lock.Unlock, nil
}

// exchange moves what dir has aside, and what made has to its place. A mark in dir keeps any carom from starting in between.
func exchange(dir, made string, have []string) (aside string, err error) {
	mark := filepath.Join(dir, store.RestoringFile)
	if err := os.WriteFile(mark, []byte("a restore was under way\n"), 0o600); err != nil {
		return "", unavailable(err)
	}
	if len(have) > 0 {
		aside = filepath.Join(dir, "before-"+time.Now().UTC().Format("20060102-150405.000"))
		if err := os.Mkdir(aside, 0o700); err != nil {
			return "", unavailable(errors.Join(err, os.Remove(mark)))
		}
		if err := takeOwner(dir, aside); err != nil {
			return "", unavailable(errors.Join(err, os.Remove(aside), os.Remove(mark)))
		}
	}
	if err := errors.Join(move(dir, aside, have), moveSnapshot(made, dir)); err != nil {
		return aside, fmt.Errorf("the restored files could not be moved to their place: %w; run the restore again with --replace", unavailable(err))
	}
	return aside, unavailable(os.Remove(mark))
}

// moveSnapshot leaves behind what says that the folder is in use and whose life it has: the next start finds it restored.
func moveSnapshot(from, to string) error {
	entries, err := os.ReadDir(from)
	var names []string
	for _, e := range entries {
		if store.SnapshotFile(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return errors.Join(err, move(from, to, names))
}

func move(from, to string, names []string) error {
	for _, name := range names {
		if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", carom.ErrUnavailable, err)
}

// unpackTo writes the files of a backup into an empty folder, synced.
func unpackTo(ctx context.Context, r io.Reader, dir string) (Manifest, error) {
	root, err := os.OpenRoot(dir) // no name in the backup leads out of it
	if err != nil {
		return Manifest{}, unavailable(err)
	}
	m, err := unpack(ctx, r, func(name string, content io.Reader) error {
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return unavailable(err)
		}
		var disk *fs.PathError
		if _, err = io.Copy(f, content); err != nil && !errors.As(err, &disk) {
			err = damaged(err)
		} else if err = errors.Join(err, f.Sync()); err != nil {
			err = unavailable(err)
		}
		return errors.Join(err, f.Close())
	})
	return m, errors.Join(err, root.Close())
}

// check opens the unpacked folder and has its ledger proved.
func check(ctx context.Context, dir string, opts store.Options) (store.Checked, error) {
	checked, err := store.Check(ctx, dir, opts)
	if err != nil {
		return checked, err
	}
	if faults := checked.Ledger.Faults; len(faults) > 0 {
		return checked, fmt.Errorf("its ledger has %d faults, the first: %s: %w", len(faults), faults[0], carom.ErrInvalid)
	}
	return checked, nil
}
