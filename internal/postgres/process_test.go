package postgres

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"carom"
)

// nodeProcess names the variable that makes this test's binary a node on the database that it holds.
const nodeProcess = "CAROM_TEST_NODE"

// processLease is how long the lease of such a node lasts.
const processLease = 3 * time.Second

// inMemory is how many deliveries such a node has in its memory and never sends.
const inMemory = 10

// workAsNode hands out deliveries of endpoint 1 until its standard input ends, one after another: each is sent, which is to say printed,
// and settled before the next. It prints "node N" when it has a lease, and "sent ID".
func workAsNode(url string) int {
	s, err := Open(context.Background(), Options{URL: url, Name: "process", leaseTime: processLease})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // it brings nothing but its end
		stop()
	}()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for i := range inMemory {
		sub := event(s, fmt.Sprint("in memory ", i), carom.Target{Endpoint: 1, Direct: true})
		if s.Accept(sub); sub.Err != nil {
			fmt.Println(sub.Err)
			return 1
		}
	}
	pause := time.NewTicker(time.Millisecond)
	defer pause.Stop()
	var told uint16
	for ctx.Err() == nil {
		<-pause.C
		if l := s.lease.Load(); l != nil && l.no != told {
			told = l.no
			fmt.Println("node", told)
		}
		list, _, err := s.Claim(ctx, carom.Claim{Endpoint: 1, Limit: 20, InOrder: true})
		if err != nil {
			continue // the lease is lost, or the end has come
		}
		for _, d := range list {
			for s.Holds(d) == carom.HoldUnsure && ctx.Err() == nil {
				<-pause.C
			}
			if s.Holds(d) != carom.HoldSure {
				continue // others have it
			}
			fmt.Println("sent", d.ID)
			if err := s.Record(d, &carom.Attempt{Delivery: d.ID, Number: 1, At: s.Now(), State: carom.Delivered}); err != nil {
				continue // the end has come
			}
			for s.Holds(d) != carom.HoldLost && ctx.Err() == nil {
				<-pause.C
			}
		}
	}
	if <-ended != nil || s.Close() != nil {
		return 1
	}
	return 0
}
