package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"carom"
	"carom/internal/network"

	"github.com/spf13/cobra"
)

// networkLine is a profile in the list.
type networkLine struct {
	Name     string `json:"name"`
	Title    string `json:"title"`
	Strength string `json:"strength"` // how strongly its events are verified
	Evidence string `json:"evidence"` // what that rests on
}

// networkPage is everything that a publisher has to know to set a network up.
type networkPage struct {
	networkLine
	Docs         string              `json:"docs"`
	Sources      []string            `json:"sources"`
	URL          string              `json:"url"`               // to enter at the network
	Message      string              `json:"message,omitempty"` // to send to the network, where it enters the URL itself
	OwnID        string              `json:"own_id"`
	Methods      []string            `json:"methods"`
	Verification []string            `json:"verification"`
	Secret       bool                `json:"needs_network_secret"`
	PathSecret   bool                `json:"needs_path_secret"`
	BaseURL      bool                `json:"needs_base_url"`
	Fields       map[string][]string `json:"fields"` // the parameters that fill a field
	Covered      []string            `json:"covered"`
	NotCovered   []string            `json:"not_covered"`
	NoID         bool                `json:"no_id"`
	Answers      map[string]string   `json:"answers"` // by outcome: status and body
}

func (c *cli) networksCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "networks",
		Short: "List the ad networks that carom knows, and how each is verified",
		Example: `  carom networks
  carom networks show admob`,
		Args: cobra.NoArgs,
		RunE: run(func(context.Context, []string) error {
			profiles, err := c.profiles(dir)
			if err != nil {
				return err
			}
			list := []networkLine{}
			for _, name := range slices.Sorted(maps.Keys(profiles)) {
				list = append(list, lineOf(profiles[name]))
			}
			return c.print(list, func(w io.Writer) {
				rows := [][]string{{"NAME", "VERIFIED BY", "EVIDENCE", "NETWORK"}}
				for _, n := range list {
					rows = append(rows, []string{n.Name, n.Strength, n.Evidence, n.Title})
				}
				table(w, rows)
				_, _ = fmt.Fprintln(w, "\nEvidence: vector, a published signature is checked by the tests; formula only, the network states how it signs and no\n"+
					"signature of its own was found to check that with; secret only, it does not sign.")
			})
		}),
	}
	cmd.PersistentFlags().StringVar(&dir, "profiles", "", profilesHelp)
	cmd.AddCommand(c.networksShowCommand(&dir))
	return cmd
}

func (c *cli) networksShowCommand(dir *string) *cobra.Command {
	var base string
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show the URL to enter at a network, its fields, and what verifies them",
		Example: `  carom networks show levelplay --base-url https://carom.example.com`,
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			profiles, err := c.profiles(*dir)
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			return slices.Sorted(maps.Keys(profiles)), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: run(func(_ context.Context, args []string) error {
			profiles, err := c.profiles(*dir)
			if err != nil {
				return err
			}
			p := profiles[args[0]]
			if p == nil {
				return usagef("there is no profile %q: `carom networks` lists them", args[0])
			}
			page := pageOf(p, strings.TrimSuffix(base, "/"))
			return c.print(page, func(w io.Writer) { writeNetwork(w, &page) })
		}),
	}
	cmd.Flags().StringVar(&base, "base-url", "https://HOST", "where networks reach the server")
	return cmd
}

func lineOf(p *network.Profile) networkLine {
	return networkLine{Name: p.Name, Title: p.Title, Strength: string(p.Strength), Evidence: p.Evidence}
}

func pageOf(p *network.Profile, base string) networkPage {
	n := networkPage{
		networkLine: lineOf(p), Docs: p.Docs, Sources: p.Sources, URL: base + "/in/APP/SOURCE", OwnID: p.OwnID, Methods: p.Methods,
		Verification: p.Verification(), Secret: p.NeedsNetworkSecret(), PathSecret: p.WantsPathSecret(), BaseURL: p.NeedsPublicURL(),
		Fields: map[string][]string{}, Covered: []string{}, NotCovered: p.NotCovered(), NoID: p.NoID, Answers: map[string]string{},
	}
	if n.PathSecret {
		n.URL += "/SECRET"
	}
	if p.Template != "" {
		n.URL += "?" + p.Template
	}
	if p.Message != "" {
		n.Message = strings.ReplaceAll(p.Message, "{url}", n.URL)
	}
	for _, field := range p.Fields() {
		n.Fields[field] = p.Names(field)
		if p.Covered(field) {
			n.Covered = append(n.Covered, field)
		}
	}
	placeholders := network.Verdict{Event: &carom.Event{ID: "{event_id}", ExternalID: "{transaction_id}"}, Detail: "{detail}"}
	for _, outcome := range []network.Outcome{network.Accepted, network.Duplicate, network.RefusedOutcome, network.TryLater} {
		a := p.Answer(outcome, placeholders)
		n.Answers[string(outcome)] = strings.TrimSpace(fmt.Sprint(a.Status, " ", a.Body))
	}
	return n
}

func writeNetwork(w io.Writer, n *networkPage) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	say("%s (profile %s): %s, evidence: %s", n.Title, n.Name, n.Strength, n.Evidence)
	say("\nEnter this URL at the network:\n  %s", n.URL)
	if n.Message != "" {
		say("\nThe network enters it for you. Send your contact there:\n  %s", strings.ReplaceAll(strings.TrimSpace(n.Message), "\n", "\n  "))
	}
	say("\nThe app's own id: %s", n.OwnID)
	say("\nVerified by:")
	for _, rule := range n.Verification {
		say("  %s", rule)
	}
	if n.Secret {
		say("The source needs the key that the network shows you: `network_secret_file` or `network_secret_env` in carom.yaml.")
	}
	if n.PathSecret {
		say("The URL holds a secret, which carom makes.")
	}
	if n.BaseURL {
		say("The server needs to know its public URL: set `base_url`.")
	}
	if n.NoID {
		say("It sends no id of its own: two callbacks that are equal in everything count once within the source's repeat_window.")
	}
	rows := [][]string{{"FIELD", "PARAMETERS", "COVERED"}}
	for _, field := range slices.Sorted(maps.Keys(n.Fields)) {
		covered := "no"
		if slices.Contains(n.Covered, field) {
			covered = "yes"
		}
		rows = append(rows, []string{field, orDash(strings.Join(n.Fields[field], ", ")), covered})
	}
	say("")
	table(w, rows)
	say("\nAnswers:")
	for _, outcome := range []network.Outcome{network.Accepted, network.Duplicate, network.RefusedOutcome, network.TryLater} {
		say("  %-10s %s", outcome, n.Answers[string(outcome)])
	}
	say("\nRead: %s", strings.Join(n.Sources, "\n      "))
}

const profilesHelp = "folder with profiles of your own, as the server's setting; default CAROM_PROFILES"

// profiles reads the profiles that are built in, and those in dir or in the folder that the environment names.
func (c *cli) profiles(dir string) (map[string]*network.Profile, error) {
	profiles, err := network.ProfilesIn(cmp.Or(dir, c.env("CAROM_PROFILES")))
	if err != nil {
		return nil, usagef("%w", err)
	}
	return profiles, nil
}
