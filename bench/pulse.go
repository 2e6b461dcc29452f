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
	done chan time.Duration // the longest sync, once it has stopped
}

func startPulse(dir string) (*pulse, error) {
	file, err := os.CreateTemp(dir, "pulse-*")
	if err != nil {
		return nil, fmt.Errorf("watch the disk: %w", err)
	}
	p := &pulse{file: file, stop: make(chan struct{}), done: make(chan time.Duration, 1)}
	go p.beat()
	return p, nil
}

func (p *pulse) beat() {
	var longest time.Duration
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for block := make([]byte, 4096); ; block[0]++ {
		began := time.Now()
		_, err := p.file.WriteAt(block, 0)
		if err == nil {
			err = p.file.Sync()
		}
		if took := time.Since(began); err == nil {
			longest = max(longest, took)
		}
		select {
		case <-p.stop:
			p.done <- longest
			return
		case <-tick.C:
		}
	}
}

// end stops it and returns the longest sync.
func (p *pulse) end() time.Duration {
	close(p.stop)
	longest := <-p.done
	_ = p.file.Close() // what was written does not matter
	_ = os.Remove(p.file.Name())
	return longest
}
