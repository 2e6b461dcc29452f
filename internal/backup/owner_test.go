//go:build unix

package backup_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"carom/internal/backup"
	"carom/internal/store"
)

// What root restores belongs to the owner of the folder, who has to open it.
func TestRestoreByRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const nobody = 65534
	data, dir := small(t), t.TempDir()
	_, stop := open(t, dir)
	stop()
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"carom.db", store.LockFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := backup.Restore(t.Context(), bytes.NewReader(data), dir, true, store.Options{}); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && filepath.Dir(path) != dir {
			return nil // what was moved aside keeps its owner
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != nobody {
			t.Errorf("%s belongs to %d, want %d", path, owner, nobody)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
