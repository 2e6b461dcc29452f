package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// release is one run of the build.
type release struct {
	root    string    // the folder of the repository
	dist    string    // where everything goes
	version string    // as the binary says it
	at      time.Time // what every file is dated
	out     io.Writer // one line for each file that was made
}

// file is what goes into an archive or a package. Its content is small, but for the binary's.
type file struct {
	path string // with slashes, below the top of the archive
	mode os.FileMode
	data []byte
}

// build makes everything for the targets, and the checksums last, so that a folder with them is complete.
func (r *release) build(ctx context.Context, targets []target) error {
	if err := os.RemoveAll(r.dist); err != nil {
		return err
	}
	if err := os.MkdirAll(r.dist, 0o755); err != nil {
		return err
	}
	shared, err := r.shared(ctx)
	if err != nil {
		return err
	}
	var made []string
	for _, t := range targets {
		binary, err := r.compile(ctx, t)
		if err != nil {
			return err
		}
		name, err := r.archive(t, binary, shared)
		if err != nil {
			return err
		}
		made = append(made, name)
		if t.os != "linux" {
			continue
		}
		if name, err = r.deb(t, binary, shared); err != nil {
			return err
		}
		made = append(made, name)
	}
	return r.checksums(made)
}

// shared collects the files that are the same for every system: documents, licences, completions and the manual page. The
// last two are what the binary of this machine says about itself.
func (r *release) shared(ctx context.Context) ([]file, error) {
	var files []file
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		data, err := os.ReadFile(filepath.Join(r.root, name))
		if err != nil {
			return nil, err
		}
		files = append(files, file{name, 0o644, data})
	}
	modules, err := linked(ctx, r.root)
	if err != nil {
		return nil, err
	}
	files = append(files, file{"THIRD-PARTY-LICENCES", 0o644, texts(modules)})

	binary, err := r.compile(ctx, target{runtime.GOOS, runtime.GOARCH})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "carom-release")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	command := filepath.Join(dir, "carom")
	if err := os.WriteFile(command, binary, 0o755); err != nil {
		return nil, err
	}
	for shell, name := range map[string]string{"bash": "carom.bash", "zsh": "_carom", "fish": "carom.fish", "powershell": "carom.ps1"} {
		script, err := output(ctx, dir, nil, command, "completion", shell)
		if err != nil {
			return nil, err
		}
		files = append(files, file{"completions/" + name, 0o644, script})
	}
	page, err := manual(ctx, command, r.version, r.at)
	if err != nil {
		return nil, err
	}
	files = append(files, file{"man/carom.1", 0o644, page})
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return files, nil
}

// compile returns the binary for a system. Debug symbols are left out; names in stack traces stay.
func (r *release) compile(ctx context.Context, t target) ([]byte, error) {
	dir, err := os.MkdirTemp("", "carom-build")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "carom")
	env := []string{
		"CGO_ENABLED=0", "GOOS=" + t.os, "GOARCH=" + t.arch,
		"GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOWORK=off", // nothing of the machine's own settings
	}
	if _, err := output(ctx, r.root, env, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-ldflags", "-s -w -X main.version="+r.version, "-o", binary, "./cmd/carom"); err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	return os.ReadFile(binary)
}

// checksums writes the file that sha256sum -c reads.
func (r *release) checksums(names []string) error {
	slices.Sort(names)
	var list bytes.Buffer
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(r.dist, name))
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(data), name)
	}
	return r.write("checksums.txt", list.Bytes())
}

// write puts a finished file into the folder, and says so.
func (r *release) write(name string, data []byte) error {
	path := filepath.Join(r.dist, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	_, err := fmt.Fprintf(r.out, "%s %.1f MB\n", path, float64(len(data))/1e6)
	return err
}

// output runs a command and returns what it prints, or an error with its complaint. The variables of env come last, so
// they win over the machine's.
func output(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
