package egress

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestChangedAnswerIsCheckedAgain(t *testing.T) {
	var dialled dials
	d := Dialer{
		Resolver: names{"rebind.example": {{"8.8.8.8"}, {"127.0.0.1"}, {"8.8.4.4"}}},
		Dial:     dialled.dial,
	}
	var refusals int
	for range 3 {
		_, err := d.DialContext(t.Context(), "tcp", "rebind.example:80")
		var refusal *Refusal
		if errors.As(err, &refusal) {
			refusals++
		}
	}
	if refusals != 1 {
		t.Errorf("got %d refusals for the answers public, loopback, public, want 1", refusals)
	}
	// Each dial resolved once and went to the answer that was checked, not to a later one.
	if diff := cmp.Diff([]string{"8.8.8.8:80", "8.8.4.4:80"}, dialled.addrs); diff != "" {
		t.Errorf("addresses (-want +dialled):\n%s", diff)
	}
}

func TestDialerRefusesWhatIsNoAddress(t *testing.T) {
	d := Dialer{Dial: new(dials).dial}
	for _, tt := range [][2]string{
		{"udp", "8.8.8.8:80"}, {"unix", "/run/x.sock"}, {"tcp", "8.8.8.8"}, {"tcp", "8.8.8.8:0"},
		{"tcp", "8.8.8.8:65536"}, {"tcp", "8.8.8.8:http"}, {"tcp", "[::1"},
	} {
		if _, err := d.DialContext(t.Context(), tt[0], tt[1]); err == nil || errors.Is(err, errNoNetwork) {
			t.Errorf("DialContext(%q, %q): got error %v, want one before dialling", tt[0], tt[1], err)
		}
	}
}

func TestSocketIsCheckedBeforeItConnects(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, private := range []bool{false, true} {
		d := Dialer{Policy: Policy{AllowPrivate: private}}
		nd := net.Dialer{Control: d.control}
		nc, err := nd.DialContext(t.Context(), "tcp", l.Addr().String())
		if err == nil {
			_ = nc.Close()
		}
		var refusal *Refusal
		if got := errors.As(err, &refusal); got == private {
			t.Errorf("a socket to %v with AllowPrivate %v: got error %v", l.Addr(), private, err)
		}
	}
}

func TestDialerTriesTheNextAddress(t *testing.T) {
	client, server := net.Pipe()
	defer func() { _, _ = client.Close(), server.Close() }()
	var tried []string
	d := Dialer{
		Resolver: names{"backend.example": {{"8.8.8.8", "8.8.4.4", "1.1.1.1"}}},
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			tried = append(tried, address)
			if address == "8.8.4.4:80" {
				return client, nil
			}
			return nil, errNoNetwork
		},
	}
	if _, err := d.DialContext(t.Context(), "tcp", "backend.example:80"); err != nil {
		t.Errorf("got error %v, want the connection of the second address", err)
	}
	if diff := cmp.Diff([]string{"8.8.8.8:80", "8.8.4.4:80"}, tried); diff != "" {
		t.Errorf("addresses (-want +dialled):\n%s", diff)
	}
}

func TestConnectBudgetIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		d := Dialer{
			Resolver: names{"dark.example": {{"8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4", "8.8.8.5", "8.8.8.6"}}},
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				at = append(at, time.Since(start))
				<-ctx.Done()
				return nil, ctx.Err()
			},
		}
		_, err := d.DialContext(t.Context(), "tcp", "dark.example:80")
		if err == nil || time.Since(start) != DefaultConnectTimeout {
			t.Errorf("six silent addresses: got error %v after %v, want one after %v", err, time.Since(start), DefaultConnectTimeout)
		}
		want := []time.Duration{0, minConnectShare, 2 * minConnectShare, 3 * minConnectShare}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("instants of the tries (-want +got):\n%s", diff)
		}
	})
}
