package reference

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

// Journal is a forwarder that appends each postback to a file and syncs it before it answers; postbacks that come meanwhile
// share the next sync. It is what a promise to lose nothing costs at the least on a machine, when nothing is verified,
// deduplicated or indexed: no server that keeps it can answer sooner.
type Journal struct {
	forwarder *Forwarder
	entries   chan entry // ServeHTTP sends, Run receives; never closed
	file      *os.File   // Run's alone
}

// entry is one postback that waits for its sync.
type entry struct {
	query string
	done  chan error // capacity 1: the writer never waits
}

// NewJournal makes a journal in dir that forwards to target, a URL without a query. It does nothing until Run.
func NewJournal(dir, target string) (*Journal, error) {
	f, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return &Journal{forwarder: NewForwarder(target), entries: make(chan entry, queued), file: f}, nil
}

// ServeHTTP writes the query down, then forwards and answers as a Forwarder does.
func (j *Journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := entry{r.URL.RawQuery, make(chan error, 1)}
	select {
	case j.entries <- e:
	case <-r.Context().Done():
		return
	}
	if err := <-e.done; err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	j.forwarder.ServeHTTP(w, r)
}

// Run writes and forwards until ctx ends and all that came before has been answered; the server must be closed by then.
func (j *Journal) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { j.forwarder.Run(ctx) })
	for {
		select {
		case e := <-j.entries:
			j.commit(e)
		case <-ctx.Done():
			for len(j.entries) > 0 {
				j.commit(<-j.entries)
			}
			wg.Wait()
			_ = j.file.Close() // everything that matters is synced
			return
		}
	}
}

// commit writes and syncs what waits, the first entry and those behind it.
func (j *Journal) commit(first entry) {
	batch := []entry{first}
	text := append([]byte(first.query), '\n')
	for n := len(j.entries); n > 0; n-- {
		e := <-j.entries
		batch = append(batch, e)
		text = append(append(text, e.query...), '\n')
	}
	_, err := j.file.Write(text)
	if err == nil {
		err = j.file.Sync()
	}
	for _, e := range batch {
		e.done <- err
	}
}
