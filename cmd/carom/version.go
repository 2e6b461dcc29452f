package main

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say what this binary is",
		Args:  cobra.NoArgs,
		RunE: run(func(context.Context, []string) error {
			v := api.Version{Version: buildVersion(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
			return c.print(v, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "carom %s (%s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
			})
		}),
	}
}
