package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
)

// maintainer is who the package names. The address is none on purpose: reports go where SECURITY.md and README.md say.
const maintainer = "The authors of carom <authors@carom.invalid>"

// deb makes the Debian package that packaging/nfpm.yaml describes, and returns its name.
func (r *release) deb(t target, binary []byte, shared []file) (string, error) {
	stage, err := os.MkdirTemp("", "carom-deb")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(stage) }()
	version := debVersion(r.version, r.at)
	changelog := fmt.Sprintf("carom (%s) stable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- %s  %s\n",
		version, maintainer, r.at.Format(time.RFC1123Z))
	generated := append([]file{{"carom", 0o755, binary}, {"changelog", 0o644, []byte(changelog)}}, shared...)
	if err := fillStage(stage, generated); err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(r.root, "packaging", "nfpm.yaml"))
	if err != nil {
		return "", err
	}
	values := map[string]string{"VERSION": version, "ARCH": t.arch, "MAINTAINER": maintainer}
	config, err := nfpm.ParseWithEnvMapping(bytes.NewReader(text), func(name string) string { return values[name] })
	if err != nil {
		return "", err
	}
	info, err := config.Get("deb")
	if err != nil {
		return "", err
	}
	info.MTime = r.at
	source := func(path string) string {
		if generated, ok := strings.CutPrefix(path, "stage/"); ok {
			return filepath.Join(stage, filepath.FromSlash(generated))
		}
		return filepath.Join(r.root, filepath.FromSlash(path))
	}
	for _, script := range []*string{&info.Scripts.PostInstall, &info.Scripts.PreRemove, &info.Scripts.PostRemove} {
		*script = source(*script)
	}
	for _, c := range info.Contents {
		c.Source = source(c.Source)
		if c.FileInfo == nil {
			c.FileInfo = &files.ContentFileInfo{}
		}
		if c.FileInfo.Mode == 0 {
			c.FileInfo.Mode = 0o644 // whatever the umask was when the repository was cloned
		}
	}
	info = nfpm.WithDefaults(info)
	if err := nfpm.Validate(info); err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := deb.Default.Package(info, &out); err != nil {
		return "", err
	}
	name := deb.Default.ConventionalFileName(info)
	return name, r.write(name, out.Bytes())
}

// fillStage writes the files below a folder, each also compressed, as Debian wants its documents.
func fillStage(stage string, list []file) error {
	for _, f := range list {
		path := filepath.Join(stage, filepath.FromSlash(f.path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.data, f.mode); err != nil {
			return err
		}
		packed, err := compressed(f.data)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path+".gz", packed, 0o644); err != nil {
			return err
		}
	}
	return nil
}

var (
	semver    = regexp.MustCompile(`^v([0-9]+\.[0-9]+\.[0-9]+)(?:-([0-9A-Za-z.]+))?$`)
	described = regexp.MustCompile(`^v([0-9]+\.[0-9]+\.[0-9]+)(?:-[0-9A-Za-z.]+)?-([0-9]+)-g([0-9a-f]+)(-dirty)?$`)
	unsafe    = regexp.MustCompile(`[^0-9A-Za-z.+~]+`)
)

// debVersion writes a version as Debian sorts them: a release candidate before its release, what was built after a release
// behind it, and what has no release before it by the time of its commit.
//
//	v1.2.3             1.2.3
//	v1.2.3-rc.1        1.2.3~rc.1
//	v1.2.3-5-gabc1234  1.2.3+5.gabc1234
//	abc1234            0.0.0+20261122.143000.abc1234
func debVersion(version string, at time.Time) string {
	if m := described.FindStringSubmatch(version); m != nil {
		return m[1] + "+" + m[2] + ".g" + m[3] + strings.ReplaceAll(m[4], "-", ".")
	}
	if m := semver.FindStringSubmatch(version); m != nil {
		if m[2] != "" {
			return m[1] + "~" + m[2]
		}
		return m[1]
	}
	return "0.0.0+" + at.Format("20060102.150405") + "." + unsafe.ReplaceAllString(version, ".")
}
