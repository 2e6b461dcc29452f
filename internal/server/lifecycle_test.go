package server_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"carom"
	"carom/internal/caromtest"
)

func TestADataFolderInUse(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
	err := start(t, s.Data, nil)
	if !errors.Is(err, carom.ErrConflict) || !strings.Contains(err.Error(), s.Data) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("a second server ended with %v, want a conflict that names the folder and the fix", err)
	}
	s.Accepted(t, "ymid=v1&event=click") // the first one is unharmed, its socket too
	s.Story(t, "v1")
}

func TestAnAddressInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }() // nothing depends on it
	address := taken.Addr().String()
	for flag, change := range map[string]func(*cfg){
		"--listen":         func(c *cfg) { c.Listen = address },
		"--private-listen": func(c *cfg) { c.PrivateListen = address },
	} {
		dir := caromtest.Folder(t)
		err = start(t, dir, change)
		if !errors.Is(err, carom.ErrConflict) || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), " "+flag) {
			t.Errorf("the server ended with %v, want a conflict that names %s and %s", err, address, flag)
		}
		if err = start(t, dir, change); !strings.Contains(err.Error(), address) {
			t.Errorf("the second try ended with %v: the first has not let go of the folder", err)
		}
	}
}

func TestADataFolderOfANewerVersion(t *testing.T) {
	caromtest.NeedsFolder(t)
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(s.Data, "carom.db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0, 0, 3, 0xe7}, 60); err != nil { // SQLite's user_version, at its place in the file: 999
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := start(t, s.Data, nil); !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), "newer carom") || !strings.Contains(err.Error(), "999") {
		t.Errorf("the server ended with %v, want that the folder is of a newer version", err)
	}
}

func TestADataFolderThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(caromtest.Folder(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := start(t, filepath.Join(file, "data"), nil); err == nil || !strings.Contains(err.Error(), "data folder") {
		t.Errorf("with a folder below a file the server ended with %v, want that it is the data folder's fault", err)
	}
}

func TestAReadOnlyDataFolder(t *testing.T) {
	disk := caromtest.SmallDisk(t, 16)
	s := caromtest.Start(t, caromtest.Options{Data: disk, Objects: caromtest.Monetag("")})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	caromtest.MakeReadOnly(t, disk)
	if err := start(t, disk, nil); err == nil || !strings.Contains(err.Error(), disk) || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("the server ended with %v, want that the folder cannot be written", err)
	}
}

// While senders send as fast as they can, the server stops. Whatever was answered 200 is there after the next start, and no
// answer was anything but success or "try later".
func TestACleanStopLosesNothing(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}")})
	var mu sync.Mutex
	var acknowledged []string
	var senders sync.WaitGroup
	for sender := range 16 {
		senders.Go(func() {
			p, err := dial(s.URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = p.conn.Close() }() // the server has closed it
			for i := 0; ; i++ {
				ymid := "s" + itoa(sender) + "-" + itoa(i)
				status, err := p.get("ymid=" + ymid + "&event=impression&value=yes&zone_id=1")
				if err != nil {
					return
				}
				switch status {
				case 200:
					mu.Lock()
					acknowledged = append(acknowledged, ymid)
					mu.Unlock()
				case 503:
				default:
					t.Errorf("a postback was answered %d", status)
				}
			}
		})
	}
	caromtest.Until(t, "some postbacks", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged) > 300
	})
	if err := s.Stop(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	senders.Wait()
	s.Restart(t)

	stored := map[string]int{}
	for _, e := range s.Events(t, "") {
		stored[e.YMID]++
	}
	for _, ymid := range acknowledged {
		if stored[ymid] != 1 {
			t.Errorf("%s was answered 200 and is stored %d times", ymid, stored[ymid])
		}
	}
	caromtest.Until(t, "every event to be delivered", func() bool {
		sent := map[string]bool{}
		for _, p := range endpoint.Sent("/p") {
			sent[strings.TrimPrefix(p.Query, "ymid=")] = true
		}
		return len(sent) == len(stored)
	})
}

func TestARestartTakesUpWhatIsPending(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	endpoint.Script("/p", caromtest.Failed)
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}&id={delivery_id}&n={attempt}")})
	ymids := []string{"v1", "v2", "v3"}
	for _, ymid := range ymids {
		s.Accepted(t, "ymid="+ymid+"&event=click")
	}
	for _, ymid := range ymids {
		s.StoryWhen(t, ymid, "a failed attempt", pending(1))
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	endpoint.Script("/p", caromtest.OK)
	before := len(endpoint.Sent("/p"))
	s.Restart(t)
	for _, ymid := range ymids {
		d := s.Ends(t, ymid).Deliveries[0]
		if d.State != "delivered" || len(d.Attempts) < 2 {
			t.Errorf("after the restart the delivery of %s is %s after %d attempts", ymid, d.State, len(d.Attempts))
		}
		want := "ymid=" + ymid + "&id=" + string(d.ID) + "&n=" + itoa(len(d.Attempts))
		if !slices.ContainsFunc(endpoint.Sent("/p")[before:], func(p caromtest.Sent) bool { return p.Query == want }) {
			t.Errorf("after the restart the endpoint got %+v, want %s among it", endpoint.Sent("/p")[before:], want)
		}
	}
	s.Accepted(t, "ymid=v1&event=click")
	if n := len(s.Events(t, "ymid=v1")); n != 1 {
		t.Errorf("after the restart a copy makes %d events", n)
	}
}

// A server that stops does not wait for endpoints that hang longer than its grace, and sends again what they did not answer.
func TestAStopDoesNotWaitForHangingEndpoints(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	endpoint.Script("/p", caromtest.Hang)
	s := caromtest.Start(t, caromtest.Options{
		Objects: caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}") + "        timeout: 1m\n",
		Config:  func(c *cfg) { c.ShutdownGrace = 200e6 },
	})
	s.Accepted(t, "ymid=v1&event=click")
	endpoint.Wait(t, "/p", 1)
	if err := s.Stop(); err != nil { // the test's own deadline catches one that waits
		t.Errorf("the server ended with %v", err)
	}
	endpoint.Script("/p", caromtest.OK)
	s.Restart(t)
	if d := s.Ends(t, "v1").Deliveries[0]; d.State != "delivered" {
		t.Errorf("the delivery is %s, want delivered", d.State)
	}
}

func TestStartingAfterAKillRemovesTheOldSocket(t *testing.T) {
	t.Parallel()
	data := caromtest.Folder(t)
	if err := os.WriteFile(filepath.Join(data, "carom.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := caromtest.Start(t, caromtest.Options{Data: data, Objects: caromtest.Monetag("")})
	info, err := os.Stat(filepath.Join(data, "carom.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has the mode %v, want that only its owner may use it", info.Mode())
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}
