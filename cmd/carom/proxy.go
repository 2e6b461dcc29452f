package main

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"
)

//go:embed proxy/nginx.conf
var nginxConf string

//go:embed proxy/Caddyfile
var caddyfile string

// proxyNames are the web servers for which a quickstart prints what to put into their configuration.
var proxyNames = map[string]*string{"nginx": &nginxConf, "caddy": &caddyfile}

// The names in the snippets that a reader replaces, or we do.
const (
	proxyDomain   = "carom.example.com"
	proxyUpstream = "127.0.0.1:8080"
)

func (c *cli) quickstartProxyCommand(name string) *cobra.Command {
	var domain, listen string
	cmd := &cobra.Command{
		Use:   name,
		Short: "Print what to put into the configuration of " + name + " in front of carom",
		Long: `Prints the part of a configuration that passes postbacks on to carom, as they came, and keeps the secrets in their paths out of
the web server's own logs.`,
		Example: `  carom quickstart ` + name + ` --domain ads.example.com`,
		Args:    cobra.NoArgs,
		RunE: run(func(context.Context, []string) error {
			if strings.ContainsAny(domain, " /:{};\"'\n") || domain == "" {
				return usagef("--domain is a name such as ads.example.com, not %q", domain)
			}
			if _, _, err := net.SplitHostPort(listen); err != nil || strings.ContainsAny(listen, " /{};\"'\n") {
				return usagef("--listen is the address of carom, such as 127.0.0.1:8080, not %q", listen)
			}
			text := strings.NewReplacer(proxyDomain, domain, proxyUpstream, listen).Replace(*proxyNames[name])
			_, _ = fmt.Fprint(c.out, text)
			_, _ = fmt.Fprintf(c.errOut, "\nTell carom its public name, and that this proxy may say where requests come from:\n\n  carom serve --base-url https://%s --trusted-proxies 127.0.0.1\n", domain)
			return nil
		}),
	}
	cmd.Flags().StringVar(&domain, "domain", proxyDomain, "carom's public name")
	cmd.Flags().StringVar(&listen, "listen", proxyUpstream, "where carom listens")
	return cmd
}
