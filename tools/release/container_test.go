//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// image is what the last stage of the Dockerfile makes: the part of the format that it uses.
type image struct {
	from, user                      string
	env, entrypoint, command, probe []string
	copies                          []*instructions.CopyCommand
	other                           []string // instructions that are none of these
}

// readImage parses packaging/Dockerfile as docker does.
func readImage(t *testing.T) image {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "packaging", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	stages, _, err := instructions.Parse(tree.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	last := stages[len(stages)-1]
	im := image{from: last.BaseName}
	for _, command := range last.Commands {
		switch c := command.(type) {
		case *instructions.CopyCommand:
			im.copies = append(im.copies, c)
		case *instructions.UserCommand:
			im.user = c.User
		case *instructions.EnvCommand:
			for _, pair := range c.Env {
				im.env = append(im.env, pair.Key+"="+pair.Value)
			}
		case *instructions.EntrypointCommand:
			im.entrypoint = c.CmdLine
		case *instructions.CmdCommand:
			im.command = c.CmdLine
		case *instructions.HealthCheckCommand:
			im.probe = c.Health.Test[1:] // after the word CMD
		case *instructions.VolumeCommand, *instructions.ExposeCommand:
		default:
			im.other = append(im.other, c.Name())
		}
	}
	return im
}

func TestImageHoldsNothingElse(t *testing.T) {
	im := readImage(t)
	if im.from != "scratch" {
		t.Errorf("the image is made from %q, want scratch", im.from)
	}
	if !regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`).MatchString(im.user) {
		t.Errorf("USER is %q, want numbers other than 0: there is no list of users in the image", im.user)
	}
	if len(im.other) > 0 {
		t.Errorf("the last stage uses %q: this test knows nothing of it", im.other)
	}
}

// TestImageIsBuiltWithOurGo: the version in the Dockerfile is that of go.mod.
func TestImageIsBuiltWithOurGo(t *testing.T) {
	version := regexp.MustCompile(`(?m)^(?:go |FROM golang:)([0-9]+\.[0-9]+)`)
	found := map[string]string{}
	for _, name := range []string{"go.mod", "packaging/Dockerfile"} {
		text, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil {
			t.Fatal(err)
		}
		if m := version.FindSubmatch(text); m != nil {
			found[name] = string(m[1])
		}
	}
	if found["go.mod"] == "" || found["go.mod"] != found["packaging/Dockerfile"] {
		t.Errorf("versions of Go: %v, want the same", found)
	}
}

// TestImageServes does by hand what the Dockerfile says: given a folder with nothing but the files that it copies, when its
// command runs there as its user, then the server answers, its own check of health succeeds, and it stops when told to.
func TestImageServes(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		skip(t, "a folder is made the root of a process by root on Linux alone")
	}
	im := readImage(t)
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	fill(t, root, im)

	address := freeAddress(t)
	env := append(slices.Clone(im.env), "CAROM_LISTEN="+address)
	server, said := contained(t, root, im.user, env, append(slices.Clone(im.entrypoint), im.command...))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	defer func() { _ = server.Process.Kill() }()

	waitForAnswer(t, "http://"+address+"/healthz", ended, said)
	probe, probeSaid := contained(t, root, im.user, env, im.probe)
	if err := probe.Run(); err != nil {
		t.Errorf("%q: %v\n%s", im.probe, err, probeSaid)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v\n%s", err, said)
	}
	list, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if !slices.Contains([]string{"carom", "data", "etc", "tmp"}, e.Name()) {
			t.Errorf("the server wrote /%s, outside its volume", e.Name())
		}
	}
}

// fill copies into root what the image copies, from where the build stage would have it.
func fill(t *testing.T, root string, im image) {
	t.Helper()
	r := release{root: repository, version: "test", out: io.Discard}
	binary, err := r.compile(t.Context(), target{runtime.GOOS, runtime.GOARCH})
	if err != nil {
		t.Fatal(err)
	}
	folder := []byte(nil)
	built := map[string][]byte{
		"/etc/ssl/certs/ca-certificates.crt": []byte("# the roots of the build image\n"),
		"/out/carom":                         binary, "/out/data": folder, "/out/tmp": folder,
	}
	for _, c := range im.copies {
		data, known := built[c.SourcePaths[0]]
		if !known || len(c.SourcePaths) != 1 || c.From != "build" {
			t.Fatalf("%v copies what the build stage of this test does not have", c)
		}
		path := filepath.Join(root, c.DestPath)
		if data == nil {
			mode, err := strconv.ParseUint(c.Chmod, 8, 32)
			if err != nil {
				t.Fatalf("%v: %v", c, err)
			}
			if err := os.Mkdir(path, os.FileMode(mode)); err != nil {
				t.Fatal(err)
			}
			uid, gid := ids(t, c.Chown)
			if err := os.Chown(path, int(uid), int(gid)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// ids reads a pair such as 65532:65532.
func ids(t *testing.T, pair string) (uid, gid uint32) {
	t.Helper()
	if _, err := fmt.Sscanf(pair, "%d:%d", &uid, &gid); err != nil {
		t.Fatalf("the user %q: %v", pair, err)
	}
	return uid, gid
}

// contained prepares a process whose root is the folder, without rights and with no other variables; it returns what it
// prints as well.
func contained(t *testing.T, root, user string, env, args []string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	uid, gid := ids(t, user)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Env = "/", env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	said := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = said, said
	return cmd, said
}

// freeAddress returns an address of this machine that nothing listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// waitForAnswer asks until the server answers 200.
func waitForAnswer(t *testing.T, url string, ended <-chan error, said *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if resp, err := http.Get(url); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("the server ended: %v\n%s", err, said)
		case <-ctx.Done():
			t.Fatalf("%s does not answer", url)
		case <-tick.C:
		}
	}
}

// TestCompose: the file is one that docker compose takes, and gives away no right that carom does not need.
func TestCompose(t *testing.T) {
	path := filepath.Join(repository, "packaging", "compose.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: filepath.Dir(path), ConfigFiles: []types.ConfigFile{{Filename: path, Content: text}},
	}, func(o *loader.Options) { o.Profiles = []string{"*"} })
	if err != nil {
		t.Fatal(err)
	}
	if len(project.Services) != 2 {
		t.Fatalf("services: %v, want carom and backend", project.ServiceNames())
	}
	for name, s := range project.Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.Privileged || s.User != "" {
			t.Errorf("%s: read_only %v, cap_drop %v, privileged %v, user %q: want true, [ALL], false and the image's user",
				name, s.ReadOnly, s.CapDrop, s.Privileged, s.User)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to everybody", name, p.Published)
			}
		}
	}
	if got := strings.Join(project.Services["backend"].Command, " "); got != "receive --listen :3000" {
		t.Errorf("the backend runs %q", got)
	}
}
