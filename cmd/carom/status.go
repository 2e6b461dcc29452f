package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Is money being lost, since when, whose fault, what next",
		Long: `Says whether money is being lost, then how each source and endpoint stands. The exit code is 1 unless all is well, so that a
monitor can use it.`,
		Example: `  carom status
  carom status -o json`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			st, err := cl.status(ctx)
			if err != nil {
				return err
			}
			if err := c.print(st, func(w io.Writer) { writeStatus(w, &st); writeStates(w, &st) }); err != nil {
				return err
			}
			if st.Verdict != api.OK {
				return &exitError{code: exitProblem}
			}
			return nil
		}),
	}
}

// maxFine is how many objects of a kind are listed that stand well; those that do not are listed all.
const maxFine = 20

// writeStates writes a line for each source and each endpoint, those that need a look first.
func writeStates(w io.Writer, st *api.Status) {
	sources := fineLast(st.Sources, func(s api.SourceStatus) bool { return s.State == "ok" || s.State == "quiet" })
	if rows, more := firstRows(sources, sourceRow); len(rows) > 0 {
		_, _ = fmt.Fprintln(w)
		table(w, append([][]string{{"SOURCE", "STATE", "LAST RECEIVED", "IN THE LAST HOUR", "WAITING"}}, rows...))
		writeMore(w, more)
	}
	endpoints := fineLast(st.Endpoints, func(e api.EndpointStatus) bool { return e.State == "ok" })
	if rows, more := firstRows(endpoints, endpointRow); len(rows) > 0 {
		_, _ = fmt.Fprintln(w)
		table(w, append([][]string{{"ENDPOINT", "STATE", "LAST SUCCESS", "WAITING", "FIRST EXPIRES", "LAST FAILURE"}}, rows...))
		writeMore(w, more)
	}
}

// states is how the objects of a kind stand: first those that need a look.
type states[T any] struct {
	list []T
	bad  int // how many of them, at the start
}

func fineLast[T any](list []T, fine func(T) bool) states[T] {
	bad := slices.DeleteFunc(slices.Clone(list), fine)
	good := slices.DeleteFunc(slices.Clone(list), func(v T) bool { return !fine(v) })
	return states[T]{append(bad, good...), len(bad)}
}

// firstRows makes the rows that are shown, and says how many are not.
func firstRows[T any](s states[T], row func(*T) []string) (rows [][]string, more int) {
	n := min(len(s.list), s.bad+maxFine)
	for i := range s.list[:n] {
		rows = append(rows, row(&s.list[i]))
	}
	return rows, len(s.list) - n
}

func writeMore(w io.Writer, more int) {
	if more > 0 {
		_, _ = fmt.Fprintf(w, "and %d more that are well; -o json lists all\n", more)
	}
}

func sourceRow(s *api.SourceStatus) []string {
	var counts []string
	for _, c := range []struct {
		n    int64
		what string
	}{
		{s.LastHour.Accepted, "accepted"}, {s.LastHour.Duplicate, "duplicate"}, {s.LastHour.Refused, "refused"}, {s.LastHour.Unverified, "unverified"},
	} {
		if c.n > 0 {
			counts = append(counts, strconv.FormatInt(c.n, 10)+" "+c.what)
		}
	}
	return []string{s.ID, since(s.State, s.Since), onTheMinute(s.LastReceived), orDash(strings.Join(counts, ", ")), strconv.Itoa(s.Waiting)}
}

func endpointRow(e *api.EndpointStatus) []string {
	return []string{
		e.ID, since(e.State, e.Since), onTheMinute(e.LastSuccess), strconv.FormatInt(e.Waiting, 10), onTheMinute(e.FirstExpires), orDash(clip(e.LastFailure, 60)),
	}
}

// since says since when an object stands as it does, where that is of interest.
func since(state string, at time.Time) string {
	if at.IsZero() || state == "quiet" {
		return state
	}
	return state + " since " + onTheMinute(at)
}

// onTheMinute writes a moment in UTC to the minute.
func onTheMinute(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04")
}
