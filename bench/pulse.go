package main

import (
	"fmt"
	"os"
	"time"
)

const (
	pulseEvery = 50 * time.Millisecond

	// stoodStill is from how long a sync on the disk says of the disk rather than of what is measured: under full load it takes a tenth of that.
	stoodStill = 100 * time.Millisecond
)

// pulse writes and syncs a small file of its own again and again, beside a measurement, to tell what the disk itself does.
type pulse struct {
	file *os.File
	stop chan struct{}
	done chan struct{} // closed once it has stopped

	longest time.Duration // when it has stopped: the longest sync
	err     error         // and what ended it early
}

// stalled says that the disk stood still while it was measured.
func (m *measurement) stalled() bool { return m.LongestSync >= milliseconds(stoodStill) }

func startPulse(dir string) (*pulse, error) {
	file, err := os.CreateTemp(dir, "pulse-*")
	if err != nil {
		return nil, fmt.Errorf("watch the disk: %w", err)
	}
	p := &pulse{file: file, stop: make(chan struct{}), done: make(chan struct{})}
	go p.beat()
	return p, nil
}

func (p *pulse) beat() {
	defer close(p.done)
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for block := make([]byte, 4096); ; block[0]++ {
		began := time.Now()
		_, p.err = p.file.WriteAt(block, 0)
		if p.err == nil {
			p.err = p.file.Sync()
		}
		if p.err != nil {
			return
		}
		p.longest = max(p.longest, time.Since(began))
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
	}
}

// end stops it and returns the longest sync.
func (p *pulse) end() (time.Duration, error) {
	close(p.stop)
	<-p.done
	_ = p.file.Close() // what was written does not matter
	_ = os.Remove(p.file.Name())
	if p.err != nil {
		return 0, fmt.Errorf("watch the disk: %w", p.err)
	}
	return p.longest, nil
}
