package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// fileName is the file in the data folder; fileVersion tells how it is written, also in another memory.
const (
	fileName    = "alerts.json"
	fileVersion = 1
	maxFile     = 16 << 20 // 2,000 troubles and 200 changes for each of three channels, with their texts at their longest, are below
)

// stored is what a memory holds.
type stored struct {
	Version int                    `json:"version"`
	Entries []*entry               `json:"troubles"`
	Ended   []Alert                `json:"ended"`
	Waiting map[string][]change    `json:"waiting"` // by channel
	Sent    map[string][]time.Time `json:"sent"`    // by channel
}

func (s stored) encode() ([]byte, error) {
	s.Version = fileVersion
	return json.MarshalIndent(s, "", " ")
}

// file is a memory in a data folder.
type file struct{ path string }

// File returns the memory of a server alone: the file alerts.json in its data folder.
func File(folder string) Memory { return file{filepath.Join(folder, fileName)} }

// Load implements Memory.
func (f file) Load(context.Context) ([]byte, error) {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s has %d bytes", f.path, info.Size())
	case info.Size() == 0:
		return nil, fmt.Errorf("%s is empty", f.path)
	}
	return os.ReadFile(f.path)
}

// Save implements Memory.
func (f file) Save(_ context.Context, data []byte) error { return replace(f.path, data) }

// decode reads what encode wrote. No data holds nothing.
func decode(data []byte) (stored, error) {
	if len(data) == 0 {
		return stored{}, nil
	}
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return stored{}, err
	}
	if s.Version != fileVersion {
		return stored{}, fmt.Errorf("it is written in version %d, and this program knows %d", s.Version, fileVersion)
	}
	for i, e := range s.Entries {
		if e == nil {
			return stored{}, fmt.Errorf("trouble %d is empty", i)
		}
	}
	return s, nil
}

// replace writes a file so that after a power cut it is the old one or the new one as a whole.
func replace(path string, data []byte) error {
	next := path + ".next"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(next) // what is half written is of no use, and takes room on a disk that may be full
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes a rename survive a power cut. Windows has no such call.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
