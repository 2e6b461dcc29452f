package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// programs are those that pages tell people to run, besides carom, with what is done about them.
var programs = map[string]string{
	"curl": "sent by TestSamplesOfHTTP, or by TestSamplesOfStartPublisher",

	"apt":            "needs root; make install-test installs the package on a bare machine",
	"apt-get":        "needs root; make install-test installs the package on a bare machine",
	"dpkg":           "needs root; make install-test installs the package on a bare machine",
	"install":        "needs root",
	"useradd":        "needs root",
	"systemctl":      "needs systemd; make install-test runs the units on a bare machine",
	"journalctl":     "needs systemd",
	"timedatectl":    "needs systemd",
	"systemd-notify": "needs systemd",
	"tee":            "writes below /etc",
	"docker":         "needs Docker",
	"kubectl":        "needs a cluster; tools/kubernetes checks the manifests",
	"psql":           "needs a database server; TestSQLOfThePage runs such statements",
	"pg_dump":        "needs a database server",
	"ssh":            "needs another machine",
	"scp":            "needs another machine",
	"sha256sum":      "needs a release",
	"tar":            "needs a release",
	"git":            "needs the repository's host",
	"cd":             "needs a release",
	"df":             "looks at the disk of a server",
	"du":             "looks at the disk of a server",
	"cp":             "copies the folder of a server",
	"mv":             "moves the folder of a server",
	"nginx":          "TestNginxSamples checks what it is given",
	"litestream":     "TestLitestream in internal/backup runs it",
	"echo":           "prints",
	"export":         "sets a variable",
	"openssl":        "makes a random secret",
	"node":           "examples/examples_test.go runs the programs",
	"php":            "examples/examples_test.go runs the programs",
	"python3":        "examples/examples_test.go runs the programs",
	"npm":            "make sdk runs it",
	"jq":             "reads what a command prints as JSON",
	"cat":            "prints a file",
	"kill":           "ends a server",
	"sleep":          "waits",
}

// notRun are the commands of carom whose samples are read and not run, with the reason. All others are run by
// TestSamplesOfCommands.
var notRun = map[string]string{
	"serve":      "runs until it is stopped; TestRunScript starts it",
	"setup-link": "makes the first member, and other samples have made one; TestMembers runs it",
	"receive":    "runs until it is stopped; TestRunScript starts it",
	"tail":       "runs until it is stopped; TestTail follows it",
	"quickstart": "asks; TestQuickstart answers",
	"probe":      "needs a receiver; internal/probe plays against thirty",
	"backup":     "writes outside the test's folder; backup_test.go runs it",
	"restore":    "needs a backup; backup_test.go runs it",
	"move":       "needs a PostgreSQL database; internal/move runs it",
	"reconcile":  "needs a network's file; TestReconcileTranscript gives it one",
	"import":     "needs a file of templates; TestImportTranscript gives it one",
	"user":       "asks, and writes to a file; its own tests run it",
	"alerts":     "needs channels; internal/alert plays them",
	"nodes":      "changes whose a database is; nodes_test.go runs it",
	"help":       "is cobra's",
	"completion": "is cobra's",
	"check":      "reads files of the server's machine; check_test.go runs it",
}

// command is a line of a sample, as the words that a shell makes of it.
type command struct {
	sample sample
	words  []string // without what stands before the program, such as sudo
	output string   // of a transcript: what follows the line
}

// commands returns the command lines of a block. In a transcript they begin with "$ ", and what follows is their output.
func (s sample) commands() []command {
	text := strings.ReplaceAll(s.text, "\\\n", " ")
	var out []command
	for line := range strings.Lines(text) {
		rest, prompt := strings.CutPrefix(line, "$ ")
		switch {
		case s.kind == "console" && !prompt:
			if len(out) > 0 {
				out[len(out)-1].output += line
			}
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		default:
			for _, typed := range simple(shellWords(comment.ReplaceAllString(strings.TrimRight(rest, "\n"), ""))) {
				out = append(out, command{sample: s, words: typed})
			}
		}
	}
	return out
}

// shellWords splits a line as a shell does: at spaces outside quotes, which are taken away.
func shellWords(line string) []string {
	var out []string
	var word strings.Builder
	var quote rune
	begun := false
	inner := 0 // how deep in $(…), whose words are the shell's own affair
	for _, r := range line {
		switch {
		case quote == 0 && r == '(':
			inner++
			word.WriteRune(r)
		case quote == 0 && r == ')':
			inner--
			word.WriteRune(r)
		case inner > 0:
			word.WriteRune(r)
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, begun = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if begun {
				out = append(out, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if begun {
		out = append(out, word.String())
	}
	return out
}

// comment is what stands behind a command for the reader.
var comment = regexp.MustCompile(`\s+# .*$|\s+#$`)

// simple splits words at the operators of the shell, and takes away assignments, redirections and what runs another program.
func simple(words []string) [][]string {
	out := [][]string{nil}
	for i := 0; i < len(words); i++ {
		word, last := words[i], len(out)-1
		switch {
		case word == "|" || word == "&&" || word == "||" || word == ";":
			out = append(out, nil)
		case word == "<" || word == ">" || word == ">>" || word == "2>":
			i++
		case strings.HasPrefix(word, ">") || strings.HasPrefix(word, "<") && !strings.HasPrefix(word, "<("):
		case len(out[last]) == 0 && (word == "sudo" || assignment.MatchString(word)):
		case word == "&":
		default:
			out[last] = append(out[last], word)
		}
	}
	return slices.DeleteFunc(out, func(words []string) bool { return len(words) == 0 })
}

var assignment = regexp.MustCompile(`^[A-Z_]+=`)

// program is what a command runs: "carom", whatever folder it is in.
func (c command) program() string { return filepath.Base(c.words[0]) }

// subcommand is the name of carom's command.
func (c command) subcommand() string {
	if len(c.words) > 1 {
		return c.words[1]
	}
	return ""
}

// checkShell checks every line of a block of commands, and says what is done about those that are not run.
func (s sample) checkShell() (string, error) {
	var how []string
	for _, c := range s.commands() {
		why, err := c.check()
		if err != nil {
			return "", fmt.Errorf("%q: %w", strings.Join(c.words, " "), err)
		}
		if !slices.Contains(how, why) {
			how = append(how, why)
		}
	}
	if len(how) == 0 {
		return "", errors.New("a block without a command")
	}
	return strings.Join(how, "; "), nil
}

func (c command) check() (string, error) {
	switch program := c.program(); {
	case strings.HasPrefix(program, "carom"):
		if err := c.parse(); err != nil {
			return "", err
		}
		if why := c.whyNotRun(); why != "" {
			return "flags checked; " + c.subcommand() + " " + why, nil
		}
		return "run by TestSamplesOfCommands", nil
	case program == "make":
		return "the targets are there", c.checkMake()
	case program == "go":
		return "the packages are there", c.checkGo()
	case strings.HasSuffix(program, ".sh"):
		return "the script is there", exists(strings.TrimPrefix(c.words[0], "./"))
	default:
		why, ok := programs[program]
		if !ok {
			return "", fmt.Errorf("nothing checks a line of %s: run it, or give a reason in programs", program)
		}
		return program + " " + why, nil
	}
}

// whyNotRun is the reason for which TestSamplesOfCommands leaves a line of carom out; empty if it does not.
func (c command) whyNotRun() string {
	if slices.Contains(c.words, "--ledger") || c.subcommand() == "check" && slices.Contains(c.words, "-f") {
		return ""
	}
	return notRun[c.subcommand()]
}

// parse has cobra read the line.
func (c command) parse() error {
	cl := &cli{environ: func() []string { return nil }}
	cmd, rest, err := cl.root().Find(c.words[1:])
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	return err
}

func (c command) checkMake() error {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		return err
	}
	for _, target := range c.words[1:] {
		if !strings.Contains(target, "=") && !strings.Contains(string(makefile), "\n"+target+":") {
			return fmt.Errorf("the Makefile has no target %s", target)
		}
	}
	return nil
}

// checkGo checks the packages that a line names, and the flags of the benchmark.
func (c command) checkGo() error {
	for i, word := range c.words {
		if strings.HasPrefix(word, "./") && word != "./..." {
			if err := exists(strings.TrimPrefix(word, "./")); err != nil {
				return err
			}
			if word != "./bench" {
				continue
			}
			source, err := os.ReadFile(filepath.Join(root, "bench", "main.go"))
			if err != nil {
				return err
			}
			for _, flag := range c.words[i+1:] {
				if strings.HasPrefix(flag, "-") && !strings.Contains(string(source), `"`+flag[1:]+`"`) {
					return fmt.Errorf("the benchmark has no flag %s", flag)
				}
			}
		}
	}
	return nil
}
