package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"time"
)

// archive packs the binary with the documents: a zip for Windows, a compressed tar for the others. It returns the name.
func (r *release) archive(t target, binary []byte, shared []file) (string, error) {
	top := "carom_" + r.version + "_" + t.os + "_" + t.arch
	pack, name, command := tarball, top+".tar.gz", "carom"
	if t.os == "windows" {
		pack, name, command = zipped, top+".zip", "carom.exe"
	}
	files := append([]file{{command, 0o755, binary}}, shared...)
	if t.os == "linux" {
		units, err := r.units()
		if err != nil {
			return "", err
		}
		files = append(files, units...)
	}
	data, err := pack(top, r.at, files)
	if err != nil {
		return "", err
	}
	return name, r.write(name, data)
}

// units returns the units of systemd, for those who install from an archive.
func (r *release) units() ([]file, error) {
	paths, err := filepath.Glob(filepath.Join(r.root, "packaging", "systemd", "*"))
	if err != nil {
		return nil, err
	}
	var files []file
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, file{"systemd/" + filepath.Base(path), 0o644, data})
	}
	return files, nil
}

// tarball packs files in their order, all owned by root and of one date.
func tarball(top string, at time.Time, files []file) ([]byte, error) {
	var out bytes.Buffer
	packer, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(packer)
	for _, f := range files {
		h := tar.Header{
			Name: top + "/" + f.path, Mode: int64(f.mode), Size: int64(len(f.data)), ModTime: at,
			Uname: "root", Gname: "root", Format: tar.FormatUSTAR,
		}
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	err = packer.Close()
	return out.Bytes(), err
}

// zipped packs the same for Windows.
func zipped(top string, at time.Time, files []file) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range files {
		h := zip.FileHeader{Name: top + "/" + f.path, Method: zip.Deflate, Modified: at}
		h.SetMode(f.mode)
		entry, err := w.CreateHeader(&h)
		if err != nil {
			return nil, err
		}
		if _, err := entry.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// compressed returns data as gzip writes it, without name and time.
func compressed(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}
