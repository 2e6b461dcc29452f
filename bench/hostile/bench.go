package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"carom/bench/once"
	"carom/bench/proc"
	"carom/bench/stat"
)

// bench is the equipment of one run.
type bench struct {
	options
	server *proc.Carom
	path   string // of an honest postback
	runs   uint32 // so far
	acked  map[uint32]*stat.Set
}

// all measures the honest senders alone, beside each attack, and beside all of them, and then what is left.
func (b *bench) all(ctx context.Context, w io.Writer) (*report, error) {
	b.acked = map[uint32]*stat.Set{}
	r := &report{At: time.Now().UTC().Format(time.RFC3339), Limit: limitMillis}
	if _, err := b.beside(ctx, "", min(b.Window, 2*time.Second)); err != nil { // until everything is warm
		return nil, err
	}
	alone, err := b.beside(ctx, "", b.Window)
	if err != nil {
		return nil, err
	}
	r.Figures = append(r.Figures, alone)
	r.Limit = max(r.Limit, limitTimes*alone.Latency.P99)
	if r.FilesBefore, r.RSSBefore, err = b.usage(); err != nil {
		return nil, err
	}
	for _, a := range b.attacks(b.server.Addr) {
		_, _ = fmt.Fprintln(w, a.name)
		f, err := b.beside(ctx, a.name, b.Window)
		if err != nil {
			return nil, fmt.Errorf("beside %s: %w", a.name, err)
		}
		r.Figures = append(r.Figures, f)
	}
	if err := b.settle(ctx, r); err != nil {
		return nil, err
	}
	client := b.server.LocalClient()
	defer client.CloseIdleConnections()
	books, err := once.ReadBooks(ctx, client)
	if err != nil {
		return nil, err
	}
	r.Strangers, r.Twice = books.Strangers, books.Twice
	for runID, acked := range b.acked {
		missing, _ := books.Of(runID).Missing(acked)
		r.Lost += missing
	}
	return r, nil
}

// beside sends honest postbacks while an attack runs, and says what they noticed. An empty name is no attack.
func (b *bench) beside(ctx context.Context, name string, window time.Duration) (*figures, error) {
	shed := b.shed(ctx)
	end := func() (counts, error) { return counts{}, nil }
	if name != "" {
		var err error
		if end, err = b.startAttack(name); err != nil {
			return nil, err
		}
		defer func() { _, _ = end() }()                   // ended already, if all went well
		if err := pause(ctx, 2*time.Second); err != nil { // until the attack has its full strength
			return nil, err
		}
	}
	sending, stop := context.WithTimeout(ctx, window)
	defer stop()
	b.runs++
	f := &figures{Attack: name}
	var honest sync.WaitGroup
	honest.Go(func() {
		f.Account = once.Run(sending, once.Config{Addr: b.server.Addr, Path: b.path, Run: b.runs, Rate: b.Rate})
	})
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for sending.Err() == nil {
		select {
		case <-sending.Done():
		case <-b.server.Ended():
			return nil, errEnded
		case <-tick.C:
			files, rss, err := b.usage()
			if err != nil {
				return nil, err
			}
			f.MostFiles, f.MostMemory = max(f.MostFiles, files), max(f.MostMemory, rss)
		}
	}
	honest.Wait()
	c, err := end()
	if err != nil {
		return nil, err
	}
	b.acked[b.runs] = &f.AckedSet
	f.Sent, f.Closed, f.Shed = c.Sent, c.Ended, map[string]float64{}
	for reason, n := range b.shed(ctx) {
		f.Shed[reason] = n - shed[reason]
	}
	return f, ctx.Err()
}

var errEnded = fmt.Errorf("the server ended")

// shed is what the server counts as turned away, by reason.
func (b *bench) shed(ctx context.Context) map[string]float64 {
	out := map[string]float64{}
	for _, reason := range []string{"full", "address", "unverified"} {
		name := fmt.Sprintf("carom_shed_total{reason=%q}", reason)
		out[reason] = b.server.Counters(ctx, name)[name]
	}
	return out
}

// usage is how many files the server has open, and its memory in MB.
func (b *bench) usage() (files int, rssMB int64, err error) {
	u, err := b.server.Usage()
	if err != nil {
		return 0, 0, err
	}
	files, err = b.server.OpenFiles()
	return files, u.RSS >> 20, err
}

// settle waits until the server has closed what the attackers left, for a while at most.
func (b *bench) settle(ctx context.Context, r *report) (err error) {
	for range 60 {
		if r.FilesAfter, r.RSSAfter, err = b.usage(); err != nil {
			return err
		}
		if r.FilesAfter <= r.FilesBefore+filesLeft && r.RSSAfter <= r.RSSBefore+memoryLeftMB {
			return nil
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
