package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const repository = "../.."

// skip leaves a test out with its reason. CI sets CAROM_TEST_ALL, so that nothing is left out there.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CAROM_TEST_ALL") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// commitTime is the time of the commit that these tests release.
var commitTime = time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)

func sampleFiles() []file {
	return []file{{"carom", 0o755, []byte("\x7fELF")}, {"man/carom.1", 0o644, []byte(".TH CAROM 1\n")}}
}

func TestDebVersion(t *testing.T) {
	tests := []struct{ name, version, want string }{
		{"a release", "v1.2.3", "1.2.3"},
		{"a candidate sorts before its release", "v1.2.3-rc.1", "1.2.3~rc.1"},
		{"commits after a release sort behind it", "v1.2.3-5-gabc1234", "1.2.3+5.gabc1234"},
		{"with changes that are not committed", "v1.2.3-5-gabc1234-dirty", "1.2.3+5.gabc1234.dirty"},
		{"no release yet", "abc1234", "0.0.0+20260102.030406.abc1234"},
		{"no release yet, with changes", "abc1234-dirty", "0.0.0+20260102.030406.abc1234.dirty"},
		{"anything else", "my build/7", "0.0.0+20260102.030406.my.build.7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := debVersion(tt.version, commitTime); got != tt.want {
				t.Errorf("debVersion(%q) = %q, want %q", tt.version, got, tt.want)
			}
		})
	}
}

// TestArchivesTellNothingOfTheMachine: names, modes, owners and times are the release's, in both forms, twice the same.
func TestArchivesTellNothingOfTheMachine(t *testing.T) {
	want := []string{"carom_v1/carom -rwxr-xr-x 2026-01-02T03:04:06Z", "carom_v1/man/carom.1 -rw-r--r-- 2026-01-02T03:04:06Z"}
	tests := []struct {
		name string
		pack func(string, time.Time, []file) ([]byte, error)
		list func(*testing.T, []byte) []string
	}{{"tar", tarball, listTar}, {"zip", zipped, listZip}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first, err := tt.pack("carom_v1", commitTime, sampleFiles())
			if err != nil {
				t.Fatal(err)
			}
			second, err := tt.pack("carom_v1", commitTime, sampleFiles())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first, second) {
				t.Error("the same files were packed differently")
			}
			if diff := cmp.Diff(want, tt.list(t, first)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func listTar(t *testing.T, data []byte) (list []string) {
	t.Helper()
	unpacked, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(unpacked)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "root" || h.Gname != "root" {
			t.Errorf("%s belongs to %d:%d (%s:%s), want root", h.Name, h.Uid, h.Gid, h.Uname, h.Gname)
		}
		list = append(list, fmt.Sprint(h.Name, " ", h.FileInfo().Mode(), " ", h.ModTime.UTC().Format(time.RFC3339)))
	}
}

func listZip(t *testing.T, data []byte) (list []string) {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.File {
		list = append(list, fmt.Sprint(f.Name, " ", f.Mode(), " ", f.Modified.UTC().Format(time.RFC3339)))
	}
	return list
}

// packageOf makes a Debian package around a stand-in for the binary, and returns its path.
func packageOf(t *testing.T) string {
	t.Helper()
	r := release{root: repository, dist: t.TempDir(), version: "v1.2.3", at: commitTime, out: io.Discard}
	shared := []file{
		{"CHANGELOG.md", 0o644, []byte("# Changelog\n")}, {"THIRD-PARTY-LICENCES", 0o644, []byte("none\n")}, {"man/carom.1", 0o644, []byte(".TH CAROM 1\n")},
		{"completions/carom.bash", 0o644, []byte("#\n")}, {"completions/_carom", 0o644, []byte("#\n")}, {"completions/carom.fish", 0o644, []byte("#\n")},
	}
	name, err := r.deb(target{"linux", "arm64"}, []byte("\x7fELF"), shared)
	if err != nil {
		t.Fatal(err)
	}
	if name != "carom_1.2.3_arm64.deb" {
		t.Errorf("the package is called %s, want carom_1.2.3_arm64.deb", name)
	}
	return filepath.Join(r.dist, name)
}

func TestPackageIsReproducible(t *testing.T) {
	first, err := os.ReadFile(packageOf(t))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(packageOf(t))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("the same release was packed differently")
	}
}

// TestPackage looks at the package with Debian's own eyes.
func TestPackage(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		skip(t, "dpkg-deb is missing: it comes with Debian")
	}
	path := packageOf(t)
	ask := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "dpkg-deb", append(args, path)...).CombinedOutput()
		if err != nil {
			t.Fatalf("dpkg-deb %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	control := ask("--info")
	for _, want := range []string{
		"Package: carom\n", "Version: 1.2.3\n", "Architecture: arm64\n", "Depends: passwd\n", "Recommends: ca-certificates, systemd\n",
		"postinst", "prerm", "postrm", "conffiles",
	} {
		if !strings.Contains(control, want) {
			t.Errorf("the package does not say %q:\n%s", want, control)
		}
	}
	contents := ask("--contents")
	for _, want := range []string{
		`-rwxr-xr-x root/root .* \./usr/bin/carom`,
		`-rw-r--r-- root/root .* \./etc/carom/settings\.yaml`,
		`-rw-r--r-- root/root .* \./usr/lib/systemd/system/carom\.service`,
		`-rw-r--r-- root/root .* \./usr/lib/systemd/system/carom\.socket`,
		`-rw-r--r-- root/root .* \./usr/lib/sysusers\.d/carom\.conf`,
		`-rw-r--r-- root/root .* \./usr/share/doc/carom/THIRD-PARTY-LICENCES\.gz`,
		`-rw-r--r-- root/root .* \./usr/share/man/man1/carom\.1\.gz`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(contents) {
			t.Errorf("the package lacks %s:\n%s", want, contents)
		}
	}
	if strings.Contains(contents, "/var/lib/carom") {
		t.Error("the package ships the data folder, so removing it would remove data")
	}
	for line := range strings.Lines(contents) {
		if !strings.Contains(line, " 2026-01-02 ") {
			t.Errorf("not of the commit's date: %s", line)
		}
	}
}

// TestUnits has systemd judge the units, which it can do wherever it is installed.
func TestUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		skip(t, "systemd-analyze is missing: it comes with systemd")
	}
	dir := t.TempDir()
	paths, err := filepath.Glob(filepath.Join(repository, "packaging", "systemd", "*"))
	if err != nil || len(paths) != 5 {
		t.Fatalf("units: %q, %v; want five", paths, err)
	}
	verify := []string{"verify", "--man=no"}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("/usr/bin/carom"), []byte("/bin/true")) // carom is not installed here
		copied := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(copied, text, 0o644); err != nil {
			t.Fatal(err)
		}
		verify = append(verify, copied)
	}
	for _, args := range [][]string{verify, {"security", "--no-pager", "--offline=true", "--threshold=20", filepath.Join(dir, "carom.service")}} {
		cmd := exec.CommandContext(t.Context(), "systemd-analyze", args...)
		cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
		out, err := cmd.CombinedOutput()
		if err != nil || args[0] == "verify" && len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}

func TestJudge(t *testing.T) {
	mit, err := os.ReadFile(filepath.Join("testdata", "mit.txt"))
	if err != nil {
		t.Fatal(err)
	}
	gpl := "This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by " +
		"the Free Software Foundation, either version 3 of the License, or (at your option) any later version."
	tests := []struct {
		name, text string
		want       []string
		fails      string
	}{
		{"one that may be linked", string(mit), []string{"MIT"}, ""},
		{"one that may not", gpl, nil, "not one that may be linked"},
		{"none", "You may do as you please.", nil, "0 % of it is text of a known licence"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := judge([]byte(tt.text))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("licences (-want +got):\n%s", diff)
			}
			if tt.fails == "" && err != nil || tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
				t.Errorf("error: %v, want one with %q", err, tt.fails)
			}
		})
	}
}

func TestParseTargets(t *testing.T) {
	tests := []struct {
		name, list string
		want       []target
		fails      bool
	}{
		{"all", "", released(), false},
		{"two", "linux/amd64,darwin/arm64", []target{{"linux", "amd64"}, {"darwin", "arm64"}}, false},
		{"without a processor", "linux", nil, true},
		{"empty parts", "/amd64", nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseTargets(tt.list)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(target{})); diff != "" || (err != nil) != tt.fails {
				t.Errorf("parseTargets(%q): %v, (-want +got):\n%s", tt.list, err, diff)
			}
		})
	}
}

func TestVerbatim(t *testing.T) {
	got := verbatim("a --flag\n.starts with a dot\n'or a quote\nback\\slash\n")
	want := ".nf\na \\-\\-flag\n\\&.starts with a dot\n\\&'or a quote\nback\\eslash\n.fi\n"
	if got != want {
		t.Errorf("verbatim = %q, want %q", got, want)
	}
}
