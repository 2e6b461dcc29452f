package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"

	"carom/bench/load"
	"carom/bench/proc"
	"carom/bench/reference"
	"carom/bench/sink"
)

// The processes that this binary becomes when its first argument says so.
const (
	partHandler   = "handler"
	partHMAC      = "hmac"
	partForwarder = "forwarder"
	partJournal   = "journal"
	partSink      = "sink"
	partLoad      = "load"
)

func isPart(args []string) bool {
	return len(args) > 1 && slices.Contains([]string{partHandler, partHMAC, partForwarder, partJournal, partSink, partLoad}, args[1])
}

// runPart is the main function of such a process. The servers listen at args[0] and end when stdin does; the load generator
// reads its configuration from stdin and writes its result to stdout.
func runPart(ctx context.Context, name string, args []string, stdin io.Reader, stdout io.Writer) error {
	if name == partLoad {
		var cfg load.Config
		if err := json.NewDecoder(stdin).Decode(&cfg); err != nil {
			return fmt.Errorf("read what to send: %w", err)
		}
		res, err := load.Run(ctx, cfg)
		if err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(res)
	}
	if len(args) < 1 {
		return fmt.Errorf("%s needs the address to listen at", name)
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var h http.Handler
	var wg sync.WaitGroup
	switch name {
	case partHandler:
		h = reference.Handler()
	case partHMAC:
		if len(args) < 2 {
			return fmt.Errorf("%s needs the key", name)
		}
		h = reference.HMAC([]byte(args[1]))
	case partSink:
		h = sink.New(0)
	case partForwarder:
		if len(args) < 2 {
			return fmt.Errorf("%s needs the URL to forward to", name)
		}
		f := reference.NewForwarder(args[1])
		wg.Go(func() { f.Run(ctx) })
		h = f
	case partJournal:
		if len(args) < 3 {
			return fmt.Errorf("%s needs the URL to forward to and a folder", name)
		}
		j, err := reference.NewJournal(args[2], args[1])
		if err != nil {
			return err
		}
		wg.Go(func() { j.Run(ctx) })
		h = j
	}
	srv := &http.Server{Handler: h}
	wg.Go(func() { _ = srv.Serve(l) }) // ends when the server is closed
	if _, err := fmt.Fprintln(stdout, proc.Announce+l.Addr().String()); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stdin)
	cancel()
	_ = srv.Close() // nothing that is under way matters any more
	wg.Wait()
	return err
}
