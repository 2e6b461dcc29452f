package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"carom"
	"carom/receiver"

	"github.com/spf13/cobra"
)

// maxShownBody bounds what receive reads of a body: more than carom sends.
const maxShownBody = 256 << 10

func (c *cli) receiveCommand() *cobra.Command {
	var listen, delay string
	var status int
	cmd := &cobra.Command{
		Use:   "receive",
		Short: "Run a receiver that prints every request it gets, to try things out",
		Long: `Listens like an app's backend would, prints each request, and answers with OK, until it is interrupted. It checks no
signature and stores nothing. With -o json it prints one JSON object a line.`,
		Example: `  carom receive
  carom receive --listen 127.0.0.1:3000 --status 503     every delivery fails and is repeated
  carom receive --delay 15s                              every attempt runs into its timeout`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			wait, err := carom.ParseDuration(delay)
			switch {
			case err != nil || wait < 0:
				return usagef("--delay needs a duration such as 500ms or 15s")
			case status < 200 || status > 599:
				return usagef("--status is a number from 200 to 599, not %d", status)
			}
			return c.receive(ctx, listen, &trialReceiver{cli: c, status: status, delay: wait})
		}),
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8081", "address to listen at")
	cmd.Flags().IntVar(&status, "status", http.StatusOK, "status to answer with")
	cmd.Flags().StringVar(&delay, "delay", "0s", "how long to wait before each answer")
	return cmd
}

// receive serves h until ctx ends. Requests that wait for their answer then get it at once.
func (c *cli) receive(ctx context.Context, listen string, h http.Handler) error {
	ln, err := net.Listen("tcp", listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return usagef("the address %s is in use by another program: choose another with --listen", listen)
	}
	if err != nil {
		return usagef("--listen: %w", err)
	}
	_, _ = fmt.Fprintf(c.errOut, "receiving at http://%s\n", ln.Addr())
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close() // whoever is still connected is of no interest
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// trialReceiver prints requests and answers all of them alike.
type trialReceiver struct {
	cli    *cli
	status int
	delay  time.Duration

	mu sync.Mutex // held while a request is printed, so that the lines of two do not mix
}

// gotRequest is one request as it is printed.
type gotRequest struct {
	At      time.Time         `json:"at"`
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"` // those that carom sets for the receiver
	Body    string            `json:"body,omitempty"`
}

// ServeHTTP implements http.Handler.
func (t *trialReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	got := gotRequest{At: t.cli.now().UTC(), Method: r.Method, URL: r.RequestURI}
	for _, name := range []string{"Content-Type", receiver.HeaderID, receiver.HeaderTimestamp, receiver.HeaderSignature} {
		if value := r.Header.Get(name); value != "" {
			if got.Headers == nil {
				got.Headers = map[string]string{}
			}
			got.Headers[name] = value
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxShownBody))
	if err != nil {
		http.Error(w, "the body is too large or ended early", http.StatusBadRequest)
		return
	}
	got.Body = string(body)
	t.print(&got)
	if t.delay > 0 {
		timer := time.NewTimer(t.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	text := "OK"
	if t.status >= 300 {
		text = strings.TrimSpace(strconv.Itoa(t.status) + " " + http.StatusText(t.status))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(t.status)
	if t.status != http.StatusNoContent && t.status != http.StatusNotModified {
		_, _ = io.WriteString(w, text+"\n") // the sender hung up: it repeats
	}
}

// print writes one request for a person, or as one line of JSON.
func (t *trialReceiver) print(got *gotRequest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cli.output == "json" {
		enc := json.NewEncoder(t.cli.out)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(got) // the standard output is gone: there is nobody to tell
		return
	}
	_, _ = fmt.Fprintf(t.cli.out, "received %s  %s %s\n", got.At.Format("15:04:05.000"), plain(got.Method), plain(got.URL))
	for _, name := range sorted(got.Headers) {
		_, _ = fmt.Fprintf(t.cli.out, "  %s: %s\n", name, plain(got.Headers[name]))
	}
	if got.Body != "" {
		_, _ = fmt.Fprintf(t.cli.out, "  %s\n", plain(got.Body))
	}
}
