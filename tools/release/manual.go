package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
)

// manual makes the manual page carom(1) of what the commands say about themselves, one section for each, so that there is
// nothing to keep in step.
func manual(ctx context.Context, command, version string, at time.Time) ([]byte, error) {
	help := func(args ...string) (string, error) {
		// The defaults that help prints must not come from the variables of whoever builds.
		out, err := output(ctx, "", []string{"CAROM_DATA=", "CAROM_SETTINGS=", "CAROM_SERVER="}, command, append(args, "--help")...)
		return string(out), err
	}
	names, err := commands(ctx, command)
	if err != nil {
		return nil, err
	}
	overview, err := help()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, ".TH CAROM 1 %q %q \"carom's manual\"\n", at.Format(time.DateOnly), "carom "+version)
	b.WriteString(".SH NAME\ncarom \\- ad postbacks, verified and paid once\n")
	b.WriteString(".SH SYNOPSIS\n.B carom\n.I command\n[flags] [arguments]\n")
	b.WriteString(".SH DESCRIPTION\n" + verbatim(overview))
	b.WriteString(".SH COMMANDS\n")
	for _, name := range names {
		text, err := help(name)
		if err != nil {
			return nil, err
		}
		_, _ = fmt.Fprintf(&b, ".SS carom %s\n%s", name, verbatim(text))
	}
	b.WriteString(`.SH FILES
.TP
.I /etc/carom/settings.yaml
the settings of the service that the package installs
.TP
.I /var/lib/carom
its data folder
`)
	return b.Bytes(), nil
}

// commands lists the commands, by asking for completions: one a line, with a description after a tab.
func commands(ctx context.Context, command string) ([]string, error) {
	out, err := output(ctx, "", nil, command, "__complete", "")
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		name, _, described := strings.Cut(line, "\t")
		if described && name != "help" && name != "completion" {
			names = append(names, name)
		}
	}
	return names, nil
}

// verbatim writes text for roff so that it is shown as it stands.
func verbatim(text string) string {
	var b strings.Builder
	b.WriteString(".nf\n")
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		line = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(line)
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
		b.WriteString(line)
	}
	b.WriteString(".fi\n")
	return b.String()
}
