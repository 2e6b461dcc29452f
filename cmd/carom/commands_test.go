package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"carom/internal/config"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const commandsHead = "# Commands\n\n" +
	"<!-- Generated from cmd/carom by `go test ./cmd/carom -update`. Do not edit. -->\n\n" +
	"`carom help COMMAND` says the same. Exit codes: 0 all is well, 1 a problem was found or the server said no, 2 wrong usage, 3 no\n" +
	"server answers.\n\n"

// TestCommandsPage keeps docs/commands.md in step with the commands that there are.
func TestCommandsPage(t *testing.T) {
	c := &cli{environ: func() []string { return nil }}
	top := c.root()
	var page strings.Builder
	page.WriteString(commandsHead)
	page.WriteString("| command | |\n|---|---|\n")
	var commands []*cobra.Command
	for _, cmd := range top.Commands() {
		if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" {
			continue
		}
		commands = append(commands, cmd)
		_, _ = fmt.Fprintf(&page, "| [`carom %s`](#carom-%s) | %s |\n", cmd.Name(), cmd.Name(), cell(cmd.Short))
	}
	page.WriteString("\n`carom completion bash` (or `zsh`, `fish`, `powershell`) prints what a shell needs to complete them.\n")
	page.WriteString("\n## Flags of every command\n\n")
	writeFlags(&page, top.PersistentFlags())
	for _, cmd := range commands {
		writeCommand(&page, cmd, "##")
	}
	path := filepath.Join(root, "docs", "commands.md")
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page.String(), string(got)); diff != "" {
		t.Errorf("%s (-want +got), `go test ./cmd/carom -run TestCommandsPage -update` writes it anew:\n%s", path, diff)
	}
}

// writeCommand writes the section of a command, and those of its subcommands.
func writeCommand(b *strings.Builder, cmd *cobra.Command, level string) {
	_, _ = fmt.Fprintf(b, "\n%s %s\n\n", level, cmd.CommandPath())
	b.WriteString(prose(cmd.Short+".") + "\n")
	if cmd.Long != "" {
		b.WriteString("\n" + prose(cmd.Long) + "\n")
	}
	if cmd.Runnable() {
		_, _ = fmt.Fprintf(b, "\n```text\n%s\n```\n", cmd.UseLine())
	}
	if cmd.Example != "" {
		_, _ = fmt.Fprintf(b, "\n```sh\n%s\n```\n", shellComments(dedent(cmd.Example)))
	}
	own, settings := ownFlags(cmd)
	if own.HasAvailableFlags() {
		b.WriteString("\n")
		writeFlags(b, own)
	}
	if settings {
		b.WriteString("\nEvery [setting](config.md) is a flag as well.\n")
	}
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			writeCommand(b, sub, "###")
		}
	}
}

// ownFlags returns the flags of a command without those that are settings of the process, and whether it has those.
func ownFlags(cmd *cobra.Command) (own *pflag.FlagSet, settings bool) {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(all)
	settings = true
	all.VisitAll(func(f *pflag.Flag) { settings = settings && cmd.Flags().Lookup(f.Name) != nil })
	own = pflag.NewFlagSet("", pflag.ContinueOnError)
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && (!settings || all.Lookup(f.Name) == nil) {
			own.AddFlag(f)
		}
	})
	return own, settings
}

// writeFlags writes flags as a table. Defaults that are empty are left out, as cobra's help does.
func writeFlags(b *strings.Builder, flags *pflag.FlagSet) {
	b.WriteString("| flag | default | meaning |\n|---|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + value
		}
		init := f.DefValue
		switch init {
		case "", "false", "0", "[]", "0s":
			init = ""
		default:
			init = "`" + init + "`"
		}
		_, _ = fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, cell(init), cell(usage))
	})
}

// cell makes text fit for a cell of a table.
func cell(text string) string {
	return strings.NewReplacer("\n", " ", "|", `\|`, "<", `\<`).Replace(text)
}

// prose makes Markdown of a help text: what is indented there is a block of its own here.
func prose(text string) string {
	var out []string
	block := false
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		indented := strings.HasPrefix(line, "  ")
		if indented != block && (indented || line != "") {
			block = indented
			if block && len(out) > 0 && out[len(out)-1] != "" {
				out = append(out, "")
			}
			if !block {
				for out[len(out)-1] == "" {
					out = out[:len(out)-1]
				}
			}
			out = append(out, map[bool]string{true: "```text", false: "```\n"}[block])
		}
		if !block {
			line = strings.ReplaceAll(line, "<", `\<`)
		}
		out = append(out, line)
	}
	if block {
		out = append(out, "```")
	}
	return strings.Join(out, "\n")
}

// dedent takes away what all lines of an example are indented by.
func dedent(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "  ")
	}
	return strings.Join(lines, "\n")
}

// explained is a command of an example with the words that explain it, two or more spaces behind it.
var explained = regexp.MustCompile(`(?m)^(carom \S.*?\S {2,})([^\s#])`)

// shellComments makes comments of such words, so that a block can be pasted as it is.
func shellComments(text string) string { return explained.ReplaceAllString(text, "$1# $2") }
