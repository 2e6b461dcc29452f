package machine

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

func TestCheckLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	found := Check(t.Context(), Options{Data: filepath.Join(dir, "not", "yet"), MaxConnections: 10, MaxInFlight: 10, Version: "v1.2.3", syncs: 4})
	if len(found) != 12 {
		t.Errorf("%d checks, want 12", len(found))
	}
	for _, f := range found {
		if f.Name == "" || f.Found == "" || f.Result == "" {
			t.Errorf("a check says nothing: %+v", f)
		}
		if (f.Result == Warn || f.Result == Fail) && (f.Meaning == "" || f.Fix == "") {
			t.Errorf("%s is %s without a meaning or a fix: %+v", f.Name, f.Result, f)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	if f := found[0]; f.Result != OK || !strings.Contains(f.Found, "v1.2.3") {
		t.Errorf("version: %+v", f)
	}
}

func TestAFolderThatCannotBeWrittenFails(t *testing.T) {
	took, err := measureSyncs(t.Context(), filepath.Join(t.TempDir(), "gone"), 1)
	if err == nil {
		t.Errorf("measured %v", took)
	}
}

// judged is what a check came to, and a part of what it says.
type judged struct {
	name string
	got  Finding
	want Result
	says string
}

func TestJudgements(t *testing.T) {
	const us, ms = time.Microsecond, time.Millisecond
	addr := netip.MustParseAddr
	private, public := []netip.Addr{addr("127.0.0.1"), addr("10.0.0.5")}, []netip.Addr{addr("127.0.0.1"), addr("198.51.100.7")}
	for _, tt := range []judged{
		{"an SSD", judgeSyncs(300*us, 2*ms), OK, "300µs"},
		{"a slow disk", judgeSyncs(30*ms, 90*ms), Warn, "SSD"},
		{"a disk that stalls", judgeSyncs(3*ms, 3*time.Second), Fail, "give up"},
		{"a disk that pretends", judgeSyncs(1*us, 2*us), Warn, "power cut"},
		{"a disk of its own", judgeFS("ext4"), OK, "ext4"},
		{"a network file system", judgeFS("nfs"), Fail, "local disk"},
		{"memory", judgeFS("tmpfs"), Warn, "restarts"},
		{"a container's layer", judgeFS("overlay"), Warn, "volume"},
		{"files enough", judgeFiles(20_000, 10_000, 4096), OK, "14352"},
		{"files too few", judgeFiles(5000, 10_000, 4096), Warn, "LimitNOFILE=14352"},
		{"files far too few", judgeFiles(1024, 10_000, 4096), Fail, "ulimit -n 14352"},
		{"memory enough", judgeMemory(1<<30, "all"), OK, "1.0 GiB"},
		{"memory too little", judgeMemory(64<<20, "all"), Warn, "GOMEMLIMIT"},
		{"a kept clock", judgeClock(true, nil), OK, "time server"},
		{"a clock that nobody keeps", judgeClock(false, nil), Warn, "chrony"},
		{"a clock that says nothing", judgeClock(false, errors.New("no")), Skip, "no"},
		{"a right clock", judgeOffset(-30 * ms), OK, "-30ms"},
		{"a clock that is off", judgeOffset(5 * time.Second), Warn, "5s"},
		{"a wrong clock", judgeOffset(-2 * time.Hour), Fail, "refuse"},
		{"a name that leads here", judgeAddresses("h", public[1:], public), OK, "this machine"},
		{"a name that leads elsewhere", judgeAddresses("h", []netip.Addr{addr("203.0.113.9")}, public), Warn, "no address of this machine"},
		{"a name that leads here and elsewhere", judgeAddresses("h", []netip.Addr{addr("198.51.100.7"), addr("2001:db8::9")}, public), Warn, "remove the record"},
		{"behind a gateway", judgeAddresses("h", []netip.Addr{addr("203.0.113.9")}, private), OK, "cannot be known"},
		{"a private name", judgeAddresses("h", []netip.Addr{addr("10.0.0.5")}, private), Warn, "internet"},
		{"no way out", judgeEgress(nil, false), Fail, "default route"},
		{"a private way out", judgeEgress([]string{"10.0.0.5"}, true), OK, "gateway"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if f := tt.got; f.Result != tt.want || !strings.Contains(f.Found+f.Meaning+f.Fix, tt.says) {
				t.Errorf("got %+v, want %s saying %q", f, tt.want, tt.says)
			}
		})
	}
}

func TestRoom(t *testing.T) {
	for _, tt := range []struct {
		name        string
		free, total uint64
		want        Result
	}{
		{"unknown", 0, 0, Skip},
		{"a large disk at 5 %", 100 * gib, 2000 * gib, OK},
		{"a small disk at 5 %", 2 * gib, 40 * gib, Warn},
		{"a small disk at 1 %", 400 * mib, 40 * gib, Fail},
		{"less than a gibibyte", 900 * mib, 4 * gib, Warn},
		{"almost nothing", 100 * mib, gib, Fail},
		{"half of a small disk", 10 * gib, 20 * gib, OK},
	} {
		if got := Room(tt.free, tt.total); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestTheClockOfAnotherAge(t *testing.T) {
	dir := t.TempDir()
	o := &Options{Data: dir, Now: func() time.Time { return time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC) }}
	if f := clock(t.Context(), o); f.Result != Fail || !strings.Contains(f.Found, "2019") {
		t.Errorf("a clock of 2019: %+v", f)
	}
	wal := filepath.Join(dir, "carom.db-wal")
	if err := os.WriteFile(wal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(wal, noon(), noon().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	o.Now = noon
	if f := clock(t.Context(), o); f.Result != Fail || !strings.Contains(f.Meaning, "set back") {
		t.Errorf("a clock that was set back: %+v", f)
	}
}

// ntpServer answers one question with a time, or with what change makes of the answer.
func ntpServer(t *testing.T, at func() time.Time, change func([]byte)) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 512)
		n, from, err := conn.ReadFrom(b)
		if err != nil || n < 48 {
			return
		}
		copy(b[24:32], b[40:48])
		b[0], b[1] = 4<<3|4, 2
		putNTP(b[32:], at())
		putNTP(b[40:], at())
		if change != nil {
			change(b)
		}
		_, _ = conn.WriteTo(b[:48], from)
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return conn.LocalAddr().String()
}

func TestTheTimeServerIsAsked(t *testing.T) {
	server := ntpServer(t, func() time.Time { return noon().Add(90 * time.Second) }, nil)
	f := timeServer(t.Context(), &Options{NTP: server, Now: noon})
	if f.Result != Fail || !strings.Contains(f.Found, "1m30s") {
		t.Errorf("a clock that is 90 s slow: %+v", f)
	}
	for name, change := range map[string]func([]byte){
		"it does not know the time": func(b []byte) { b[1] = 0 },
		"it is somebody else's":     func(b []byte) { b[24]++ },
	} {
		if f := timeServer(t.Context(), &Options{NTP: ntpServer(t, noon, change), Now: noon}); f.Result != Warn {
			t.Errorf("%s: %+v", name, f)
		}
	}
	for _, at := range []time.Time{noon(), time.Date(2037, 5, 6, 7, 8, 9, 500_000_000, time.UTC)} {
		var b [8]byte
		putNTP(b[:], at)
		if got := ntpTime(b[:]); got.Sub(at).Abs() > time.Microsecond {
			t.Errorf("%s is read as %s", at, got.UTC())
		}
	}
}

// issue makes a certificate for a host, signed by above or by itself.
func issue(t *testing.T, host string, until time.Time, above *x509.Certificate, aboveKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host, Organization: []string{"Test of " + host}}, NotBefore: noon().Add(-time.Hour), NotAfter: until,
		IsCA: host == "root" || host == "middle", BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if !c.IsCA {
		c.DNSNames = []string{host}
	}
	if above == nil {
		above, aboveKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, above, &key.PublicKey, aboveKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

func TestCertificates(t *testing.T) {
	year := noon().Add(365 * 24 * time.Hour)
	root, rootKey := issue(t, "root", year, nil, nil)
	middle, middleKey := issue(t, "middle", year, root, rootKey)
	good, _ := issue(t, "ads.example", year, middle, middleKey)
	soon, _ := issue(t, "ads.example", noon().Add(48*time.Hour), middle, middleKey)
	own, _ := issue(t, "ads.example", year, nil, nil)
	roots := x509.NewCertPool()
	roots.AddCert(root)
	for _, tt := range []struct {
		name  string
		chain []*x509.Certificate
		host  string
		now   time.Time
		want  Result
		says  string
	}{
		{"a good one", []*x509.Certificate{good, middle}, "ads.example", noon(), OK, "for ads.example"},
		{"without a name to compare", []*x509.Certificate{good, middle}, "", noon(), OK, "until"},
		{"another name", []*x509.Certificate{good, middle}, "www.example", noon(), Fail, "not for www.example"},
		{"expired", []*x509.Certificate{good, middle}, "ads.example", year.Add(time.Hour), Fail, "expired"},
		{"expires soon", []*x509.Certificate{soon, middle}, "ads.example", noon(), Warn, "two weeks"},
		{"without its chain", []*x509.Certificate{good}, "ads.example", noon(), Fail, "fullchain.pem"},
		{"of one's own making", []*x509.Certificate{own}, "ads.example", noon(), Fail, "do not trust it"},
		{"none", nil, "ads.example", noon(), Fail, "no certificate"},
	} {
		f := judgeChain(tt.chain, tt.host, &Options{Now: func() time.Time { return tt.now }, roots: roots})
		if f.Result != tt.want || !strings.Contains(f.Found+f.Meaning+f.Fix, tt.says) {
			t.Errorf("%s: %+v, want %s saying %q", tt.name, f, tt.want, tt.says)
		}
	}
}

func TestTheCertificateOfARunningServer(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	o := &Options{BaseURL: srv.URL, Now: noon, roots: roots}
	if f := certificate(t.Context(), o); f.Result != OK {
		t.Errorf("a server's: %+v", f)
	}
	srv.Close()
	if f := certificate(t.Context(), o); f.Result != Warn || !strings.Contains(f.Fix, "start the server") {
		t.Errorf("a server that is not there: %+v", f)
	}
	if f := certificate(t.Context(), &Options{BaseURL: "http://ads.example"}); f.Result != Skip {
		t.Errorf("plain HTTP: %+v", f)
	}
	if f := certificate(t.Context(), &Options{TLSCert: filepath.Join(t.TempDir(), "none.pem"), TLSKey: "x"}); f.Result != Fail {
		t.Errorf("a file that is not there: %+v", f)
	}
	pair := srv.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o.TLSCert, o.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{o.TLSCert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, o.TLSKey: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey); err != nil {
		t.Fatal(err)
	}
	if f := certificate(t.Context(), o); f.Result != OK {
		t.Errorf("a file: %+v", f)
	}
}

func TestDNSWithoutANameIsSkipped(t *testing.T) {
	if f := dns(t.Context(), &Options{}); f.Result != Skip {
		t.Errorf("%+v", f)
	}
	if f := dns(t.Context(), &Options{BaseURL: "https://127.0.0.1:8443"}); f.Result != Warn {
		t.Errorf("an address of loopback: %+v", f)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no name server is asked in tests
	if f := dns(ctx, &Options{Domains: []string{"ads.example"}}); f.Result != Fail || !strings.Contains(f.Fix, "ads.example") {
		t.Errorf("a name that is not found: %+v", f)
	}
}

func TestMemoryLimit(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := memoryLimit(root); err == nil {
		t.Error("nothing to read, and no error")
	}
	write("proc/meminfo", "MemTotal:        4030056 kB\nMemFree: 1 kB\n")
	if n, _, err := memoryLimit(root); err != nil || n != 4030056<<10 {
		t.Errorf("%d, %v, want all of the machine", n, err)
	}
	write("proc/self/cgroup", "0::/system.slice/carom.service\n")
	write("sys/fs/cgroup/system.slice/memory.max", "max\n")
	write("sys/fs/cgroup/system.slice/carom.service/memory.max", "268435456\n")
	if n, from, err := memoryLimit(root); err != nil || n != 256<<20 || !strings.Contains(from, "control group") {
		t.Errorf("%d %s, %v, want the control group's", n, from, err)
	}
}
