package once

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"carom/bench/mark"
	"carom/bench/stat"
)

// Books are what a server has stored of some runs.
type Books struct {
	Runs      map[uint32]*stat.Set // numbers of the events, by run
	Twice     int64                // events whose mark another one has
	Strangers int64                // events that have no mark: nobody of ours sent them
}

// Of is the set of one run, which may be empty.
func (b *Books) Of(run uint32) *stat.Set {
	if s := b.Runs[run]; s != nil {
		return s
	}
	return &stat.Set{}
}

// ReadBooks lists all events of a server through its local socket.
func ReadBooks(ctx context.Context, local *http.Client) (*Books, error) {
	b := &Books{Runs: map[uint32]*stat.Set{}}
	for before := ""; ; {
		page, next, err := readPage(ctx, local, before)
		if err != nil {
			return nil, fmt.Errorf("list the events: %w", err)
		}
		for _, ymid := range page {
			b.take(ymid)
		}
		if next == "" {
			return b, nil
		}
		before = next
	}
}

func (b *Books) take(ymid string) {
	m, ok := mark.Parse(ymid)
	if !ok {
		b.Strangers++
		return
	}
	if b.Runs[m.Run] == nil {
		b.Runs[m.Run] = &stat.Set{}
	}
	if !b.Runs[m.Run].Add(m.Seq) {
		b.Twice++
	}
}

func readPage(ctx context.Context, local *http.Client, before string) (ymids []string, next string, err error) {
	url := "http://carom/v1/events?limit=1000"
	if before != "" {
		url += "&before=" + before
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := local.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }() // it has been read to its end
	if resp.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("answered %s", resp.Status)
	}
	var page struct {
		Events []struct {
			YMID string `json:"ymid"`
		} `json:"events"`
		Next string `json:"next"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		return nil, "", err
	}
	for _, e := range page.Events {
		ymids = append(ymids, e.YMID)
	}
	return ymids, page.Next, nil
}
