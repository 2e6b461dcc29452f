package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"time"

	"carom"
	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) setupLinkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "setup-link",
		Short: "Make the link with which the first person gets into the dashboard",
		Long: `carom setup-link prints a link that makes whoever opens it the operator of a server that nobody can sign in to yet. It counts
once, for 72 hours. The server prints one by itself whenever it starts without a member.`,
		Example: `  carom setup-link`,
		Args:    cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			made, err := call[api.MadeSetupLink](ctx, cl, "POST", "/v1/setup-link", nil)
			if err != nil {
				return err
			}
			return c.print(made, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "%s\n\nWhoever opens this first becomes the operator. It ends at %s.\n", made.Link.URL, linkEnd(made.Link))
			})
		}),
	}
}

func linkEnd(l api.MadeMemberLink) string { return l.ExpiresAt.UTC().Format(time.DateTime + " UTC") }

func (c *cli) membersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members",
		Short: "Say who may sign in to the dashboard, and what they may do there",
		Long: `carom members makes, lists, disables and removes the people who sign in to the dashboard. carom sends no mail: a link is printed,
and you hand it over. What each role may do is in docs/people.md.`,
		Example: `  carom members add mia@example.com --role support --name "Mia"
  carom members add ops@studio.example --role publisher --publisher acme
  carom members link mia@example.com
  carom members disable mia@example.com`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(c.membersListCommand(), c.membersAddCommand(), c.membersLinkCommand(), c.membersDisableCommand(true), c.membersDisableCommand(false),
		c.membersDeleteCommand())
	return cmd
}

func (c *cli) membersListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List members",
		Args:  cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			list, err := call[api.MemberList](ctx, cl, "GET", "/v1/members", nil)
			if err != nil {
				return err
			}
			return c.print(list, func(w io.Writer) { writeMembers(w, list) })
		}),
	}
}

func writeMembers(w io.Writer, list api.MemberList) {
	if len(list.Members) == 0 {
		_, _ = fmt.Fprintln(w, "No members. Make the first with: carom setup-link")
		return
	}
	rows := [][]string{{"ID", "E-MAIL", "NAME", "ROLE", "CREATED", "LAST SEEN", "STATE"}}
	for _, m := range list.Members {
		role, seen, state := string(m.Role), "-", ""
		if m.Publisher != "" {
			role += " (" + m.Publisher + ")"
		}
		if !m.LastSeen.IsZero() {
			seen = m.LastSeen.UTC().Format(time.DateOnly)
		}
		switch {
		case m.Disabled:
			state = "disabled"
		case !m.HasPassword:
			state = "invited"
		}
		rows = append(rows, []string{m.ID, m.Email, m.Name, role, m.Created.UTC().Format(time.DateOnly), seen, state})
	}
	table(w, rows)
}

func (c *cli) membersAddCommand() *cobra.Command {
	var m api.NewMember
	var role string
	cmd := &cobra.Command{
		Use:     "add EMAIL",
		Short:   "Make a member, and print the link with which it sets its password",
		Example: `  carom members add bo@example.com --role viewer`,
		Args:    cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			m.Email, m.Role = args[0], carom.Role(role)
			made, err := call[api.MadeMember](ctx, cl, "POST", "/v1/members", m)
			if err != nil {
				return err
			}
			return c.print(made, func(w io.Writer) { writeMadeMember(w, made) })
		}),
	}
	cmd.Flags().StringVar(&m.Name, "name", "", "how the member is called")
	cmd.Flags().StringVar(&role, "role", "", "operator (everything), viewer (reads all but secrets), support (a viewer who also resends), or publisher (one publisher's own)")
	cmd.Flags().StringVar(&m.Publisher, "publisher", "", "whose member it is, with the role publisher")
	_ = cmd.MarkFlagRequired("role") // it fails only for flags that do not exist
	return cmd
}

func writeMadeMember(w io.Writer, made api.MadeMember) {
	_, _ = fmt.Fprintf(w, "%s\n\nWhoever opens this first sets the password of %s (%s). It ends at %s; carom sends no mail, hand it over yourself.\n",
		made.Link.URL, made.Member.Email, made.Member.Role, linkEnd(made.Link))
}

// memberPath is the path of a member, by its id or its e-mail address.
func memberPath(name string) string { return "/v1/members/" + url.PathEscape(name) }

func (c *cli) membersLinkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "link MEMBER",
		Short: "Print a link with which a member sets a new password; nothing ends until it is used",
		Args:  cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			made, err := call[api.MadeMember](ctx, cl, "POST", memberPath(args[0])+"/link", nil)
			if err != nil {
				return err
			}
			return c.print(made, func(w io.Writer) { writeMadeMember(w, made) })
		}),
	}
}

// membersDisableCommand is disable, or enable.
func (c *cli) membersDisableCommand(disable bool) *cobra.Command {
	use, short, done := "disable MEMBER", "Keep a member from signing in; its sessions end at once", "disabled"
	if !disable {
		use, short, done = "enable MEMBER", "Let a member sign in again", "enabled"
	}
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			m, err := call[api.Member](ctx, cl, "GET", memberPath(args[0]), nil)
			if err != nil {
				return err
			}
			want := api.ChangedMember{NewMember: api.NewMember{Email: m.Email, Name: m.Name, Role: m.Role, Publisher: m.Publisher}, Disabled: disable}
			if m, err = call[api.Member](ctx, cl, "PUT", memberPath(m.ID), want); err != nil {
				return err
			}
			return c.print(m, func(w io.Writer) { _, _ = fmt.Fprintln(w, done, m.Email) })
		}),
	}
}

func (c *cli) membersDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "delete MEMBER",
		Short: "Remove a member; what the audit log says of it stays",
		Args:  cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			if _, err := call[struct{}](ctx, cl, "DELETE", memberPath(args[0]), nil); err != nil {
				return err
			}
			return c.print(map[string]string{"deleted": args[0]}, func(w io.Writer) { _, _ = fmt.Fprintln(w, "deleted", args[0]) })
		}),
	}
}
