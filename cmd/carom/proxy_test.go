package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carom/internal/caromtest"
	"carom/internal/config"
)

// program finds a program, or skips the test; with CAROM_TEST_ALL its absence is a failure.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	if os.Getenv("CAROM_TEST_ALL") == "1" {
		t.Fatalf("%s is missing, and CAROM_TEST_ALL is set", name)
	}
	t.Skipf("%s is missing", name)
	return ""
}

// What a quickstart prints for a web server works in the real one: postbacks arrive as they were sent, with the sender's address, also
// while carom is away for a moment, and no secret is in its logs.
func TestProxies(t *testing.T) {
	for name, start := range map[string]func(t *testing.T, dir, snippet, port string) *exec.Cmd{"nginx": startNginx, "caddy": startCaddy} {
		t.Run(name, func(t *testing.T) {
			program(t, name)
			server := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag(""), Config: func(c *config.Config) {
				c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
			}})
			r := carom1(t, "", "quickstart", name, "--domain", "carom.localhost", "--listen", strings.TrimPrefix(server.URL, "http://"))
			if r.code != exitOK || !strings.Contains(r.errOut, "carom serve --base-url https://carom.localhost") {
				t.Fatalf("code %d\n%s%s", r.code, r.out, r.errOut)
			}
			dir, port := t.TempDir(), freePort(t)
			cmd := start(t, dir, r.out, port)
			log, err := os.Create(filepath.Join(dir, "output"))
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, dir
			cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = cmd.Process.Kill() // it may have ended
				_ = cmd.Wait()         // it was killed
			})
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "carom.localhost"}}}
			defer client.CloseIdleConnections()
			get := func(query string) int {
				req, err := http.NewRequestWithContext(t.Context(), "GET", "https://127.0.0.1:"+port+caromtest.Door+"?"+query, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = "carom.localhost"
				resp, err := client.Do(req)
				if err != nil {
					return 0
				}
				_ = resp.Body.Close()
				return resp.StatusCode
			}
			caromtest.Until(t, name+" passes a postback on", func() bool {
				return get("ymid=a%20b%2Fc&event_type=click&reward_event_type=valued&zone_id=1") == 200
			})
			events := server.Events(t, "ymid=a%20b%2Fc")
			if len(events) != 1 {
				t.Fatalf("%d events, want one as it was sent", len(events))
			}
			if st := server.Story(t, "a b/c"); st.Received.Client != "127.0.0.1" {
				t.Errorf("the sender is %q", st.Received.Client)
			}
			if err := server.Stop(); err != nil {
				t.Fatal(err)
			}
			if status := get("ymid=while-away&event_type=click"); status != 502 {
				t.Errorf("while carom is away: %d, want 502, so that the network repeats", status)
			}
			server.Restart(t)
			_ = cmd.Process.Signal(os.Interrupt)
			_ = cmd.Wait()
			err = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
				if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
					return err
				}
				text, err := os.ReadFile(path)
				if strings.Contains(string(text), caromtest.Secret) {
					t.Errorf("the secret is in %s:\n%s", path, text)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func startNginx(t *testing.T, dir, snippet, port string) *exec.Cmd {
	selfSigned(t, dir, "carom.localhost")
	snippet = strings.NewReplacer("/etc/ssl/", dir+"/", "listen 443", "listen 127.0.0.1:"+port).Replace(snippet)
	text := fmt.Sprintf("daemon off;\nuser root;\npid %[1]s/pid;\nerror_log %[1]s/error.log;\nevents {}\nhttp {\naccess_log %[1]s/access.log;\nclient_body_temp_path %[1]s/b;\n"+
		"proxy_temp_path %[1]s/p;\nfastcgi_temp_path %[1]s/f;\nuwsgi_temp_path %[1]s/u;\nscgi_temp_path %[1]s/s;\n%[2]s}\n", dir, snippet)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.Command(program(t, "nginx"), "-p", dir, "-c", file)
}

func startCaddy(t *testing.T, dir, snippet, port string) *exec.Cmd {
	selfSigned(t, dir, "carom.localhost")
	// A certificate of the test's own, and the access log that somebody may have turned on.
	snippet = strings.NewReplacer(
		"\ncarom.localhost {", fmt.Sprintf("\nhttps://carom.localhost:%[1]s {\n\tbind 127.0.0.1\n\ttls %[2]s/carom.localhost.pem %[2]s/carom.localhost.key\n\tlog", port, dir),
		"{\n\tlog default", "{\n\tadmin off\n\tauto_https disable_redirects\n\tlog default",
	).Replace(snippet)
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(snippet), 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.Command(program(t, "caddy"), "run", "--adapter", "caddyfile", "--config", file)
}

// selfSigned makes a certificate for name in dir.
func selfSigned(t *testing.T, dir, name string) {
	t.Helper()
	if out, err := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN="+name, "-addext", "subjectAltName=DNS:"+name,
		"-keyout", filepath.Join(dir, name+".key"), "-out", filepath.Join(dir, name+".pem")).CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
}

// The page shows what the command prints.
func TestProxySnippetIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```nginx\n"+nginxConf+"```") {
		t.Error("docs/operations.md does not show cmd/carom/proxy/nginx.conf as it is")
	}
	for _, args := range [][]string{{"--domain", "a b"}, {"--domain", ""}, {"--listen", "8080"}, {"--domain", "x;}"}} {
		if r := carom1(t, "", append([]string{"quickstart", "nginx"}, args...)...); r.code != exitUsage {
			t.Errorf("%v: code %d\n%s", args, r.code, r.errOut)
		}
	}
}
