package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"

	"carom"
	"carom/internal/config"
	"carom/internal/server"

	"github.com/spf13/cobra"
)

// garbage is how much of it may gather, in percent of what is in use, before it is collected. A server holds little, a few megabytes
// beside its caches, so that twice the usual costs no memory worth naming, and saves 4 % of the processor time.
const garbage = 200

func (c *cli) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Runs the server until it is interrupted, then stops cleanly. Each flag is also an environment variable and a key of the
settings file; "carom check" prints what is in force and where it comes from.

With --domain it obtains and renews its own certificates and speaks HTTPS. With --takeover it takes the place of the server that
runs on the same data folder, without refusing a connection.`,
		Example: `  carom serve
  carom serve --data /var/lib/carom --listen :8080 --base-url https://carom.example.com
  carom serve --data /var/lib/carom --domain carom.example.com
  carom serve --data /var/lib/carom --domain carom.example.com --takeover
  carom serve --config carom.yaml --private-listen 127.0.0.1:9090`,
		Args: cobra.NoArgs,
	}
	config.Flags(cmd.Flags())
	cmd.RunE = run(func(ctx context.Context, _ []string) error {
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(garbage)
		}
		cfg, err := config.Load(cmd.Flags(), c.environ)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		err = server.Run(ctx, cfg, c.logger(&cfg), buildVersion())
		if errors.Is(err, carom.ErrInvalid) || errors.Is(err, carom.ErrConflict) {
			return &exitError{exitUsage, err}
		}
		return err
	})
	return cmd
}

// logger writes to the standard error in the form that the settings ask for.
func (c *cli) logger(cfg *config.Config) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(c.errOut, opts))
	}
	return slog.New(slog.NewTextHandler(c.errOut, opts))
}
