package server_test

import (
	"log/slog"
	"strconv"
	"testing"

	"carom/internal/caromtest"
	"carom/internal/config"
	"carom/internal/server"
)

type cfg = config.Config

func itoa(n int) string { return strconv.Itoa(n) }

// start runs a server that cannot start, and returns its error.
func start(t *testing.T, data string, change func(*cfg)) error {
	t.Helper()
	c, err := caromtest.Config(data)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&c)
	}
	return server.Run(t.Context(), c, slog.New(slog.DiscardHandler), "test")
}
