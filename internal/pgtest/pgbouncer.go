package pgtest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"strconv"
	"testing"
)

// PgBouncer runs a pooler of connections in front of the server of a database's URL until the test ends, and returns the URL with
// which to reach the database through it. mode is "session", "transaction" or "statement": for how long a client
// keeps its connection to the server.
//
// Without PgBouncer the test is skipped; with CAROM_TEST_ALL=1 it fails.
func PgBouncer(t testing.TB, databaseURL, mode string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/pgbouncer") // not in everybody's path
	}
	if err != nil {
		missing(t, errors.New("PgBouncer is not installed"))
	}
	h, pooled, err := startPgBouncer(program, databaseURL, mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of PgBouncer:\n%s", h.tail())
		}
		if err := h.close(); err != nil {
			t.Errorf("end PgBouncer: %v", err)
		}
	})
	return pooled
}

func startPgBouncer(program, databaseURL, mode string) (h *home, pooled string, err error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return nil, "", fmt.Errorf("the URL of the database: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	if h, err = newHome(""); err != nil {
		return nil, "", err
	}
	password, _ := u.User.Password()
	users, err := h.write("users", fmt.Sprintf("%q %q\n", u.User.Username(), password))
	if err == nil {
		var config string
		config, err = h.write("pgbouncer.ini", fmt.Sprintf("[databases]\n* = host=%s port=%s\n[pgbouncer]\nlisten_addr = %s\nlisten_port = %d\n"+
			"unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = %s\npool_mode = %s\n", u.Hostname(), u.Port(), loopback, port, users, mode))
		if err == nil {
			err = h.start(program, config)
		}
	}
	address := net.JoinHostPort(loopback, strconv.Itoa(port))
	if err == nil {
		err = until("PgBouncer to listen", func() (bool, error) {
			if h.ended() {
				return false, fmt.Errorf("PgBouncer does not start; its log ends with:\n%s", h.tail())
			}
			conn, err := net.Dial("tcp", address)
			return err == nil && conn.Close() == nil, nil
		})
	}
	if err != nil {
		return nil, "", errors.Join(err, h.close())
	}
	u.Host = address
	return h, u.String(), nil
}
