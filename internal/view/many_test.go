package view

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"carom"
)

// memory is what live objects and stacks take, after what is free was given back.
func memory() (heap, stacks int64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first only moves what pools hold, the second drops it
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}

// TestThousandsWait has 5,000 clients wait over TCP, each for a view of its own. The clients are bare connections, so that
// nearly all memory that is measured is the server's: net/http's goroutines and buffers, and what waits in them.
func TestThousandsWait(t *testing.T) {
	const views, mostEach = 5000, 32 << 10
	r := newRig(t, func(o *Options) { o.Clock = time.Now })
	ids := make([]carom.ViewID, views)
	for i := range ids {
		v := &carom.View{App: "game", User: "u1", ExpiresAt: time.Now().Add(time.Hour)}
		if err := r.store.OpenView(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		ids[i] = v.ID
	}
	var looked sync.WaitGroup
	looked.Add(views)
	r.store.reading = looked.Done

	heapBefore, stacksBefore := memory()
	address := r.url[len("http://"):]
	conns := make([]net.Conn, views)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	for i, id := range ids {
		c, err := net.Dial("tcp", address)
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.EADDRNOTAVAIL) {
			if os.Getenv("CAROM_TEST_ALL") == "1" {
				t.Fatalf("%d connections are needed here: %v", views, err)
			}
			t.Skipf("this system does not allow %d connections to itself: %v", views, err)
		}
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c
		_, err = fmt.Fprintf(c, "GET /v1/views/%s?wait=60s HTTP/1.1\r\nHost: carom.test\r\nOrigin: %s\r\nAccept: */*\r\n"+
			"Accept-Language: en-US,en;q=0.9\r\nUser-Agent: Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile\r\n"+
			"Authorization: Bearer %s\r\n\r\n", id, page, r.store.seal.Token(id))
		if err != nil {
			t.Fatal(err)
		}
	}
	looked.Wait()
	heap, stacks := memory()
	heap, stacks = (heap-heapBefore)/views, (stacks-stacksBefore)/views
	each := heap + stacks
	t.Logf("%d bytes for each of %d who wait, connection included: %d of objects, %d of stacks", each, views, heap, stacks)
	if each > mostEach && !race {
		t.Errorf("each who waits takes %d bytes, want %d at most", each, mostEach)
	}

	began := time.Now()
	for _, id := range ids {
		r.Tell(id, confirmed(began))
	}
	for i, c := range conns {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("answer %d: %v (%v)", i, resp, err)
		}
		_ = resp.Body.Close()
	}
	t.Logf("the last of %d heard of it after %v", views, time.Since(began))
}

// BenchmarkTell measures what each event of an opened view costs: nobody waits, or thousands wait for other views.
func BenchmarkTell(b *testing.B) {
	for _, others := range []int{0, 5000} {
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			d := newDoor(nil)
			for i := range others {
				d.waiting.join(carom.NewOpenedViewID(1, int64(i+2)))
			}
			id, o := carom.NewOpenedViewID(1, 1), confirmed(now)
			b.ReportAllocs()
			for b.Loop() {
				d.Tell(id, o)
			}
		})
	}
}
