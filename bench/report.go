package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"carom/bench/proc"
	"carom/bench/stat"
)

// report is the file of figures. In JSON the figures stand at the top level, beside the machine and the parts.
type report struct {
	Machine machine
	Parts   map[string]*part // by name, only those that ran
	suite   suite
	figures map[string]float64
}

// machine is where the figures were measured.
type machine struct {
	Cores      int    `json:"cores"`
	CPU        string `json:"cpu"`
	Kernel     string `json:"kernel"`
	FileSystem string `json:"file_system"`
	Go         string `json:"go"`
	Date       string `json:"date"`
}

// part is what one part of the benchmark left behind: when, with which server, and the raw figures of each round.
type part struct {
	At         string   `json:"at"`
	Carom      string   `json:"carom"`
	Quick      bool     `json:"quick,omitempty"` // a trial run
	Seconds    float64  `json:"seconds"`
	Missing    int64    `json:"missing"` // of everything that the server under test acknowledged
	Duplicates int64    `json:"duplicates"`
	Notes      []string `json:"notes,omitempty"`
	Rounds     []any    `json:"rounds"`
}

// add takes a measurement of the server under test or of a reference into the part.
func (p *part) add(m measurement) {
	p.Rounds = append(p.Rounds, m)
	p.account(m)
}

// account takes what a measurement says about lost and repeated events, and its faults, into the part.
func (p *part) account(m measurement) {
	if m.Target == "carom" || m.Target == rewardsTarget {
		p.Missing += m.Missing
		p.Duplicates += m.Duplicates
	}
	if m.Errors > 0 || m.Refused > 0 {
		p.note("round %d, %s at %v/s: %d without an answer, %d not answered 200 (%s)", m.Round, m.Target, m.Rate, m.Errors, m.Refused, m.Error)
	}
}

func (p *part) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

func machineFacts(fileSystem string) machine {
	return machine{Cores: runtime.NumCPU(), CPU: cpuModel(), Kernel: proc.Kernel(), FileSystem: fileSystem,
		Go: runtime.Version(), Date: time.Now().UTC().Format(time.RFC3339)}
}

// cpuModel returns the processor's name; empty where the platform does not tell.
func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimLeft(line, "\t :")
}

// set records a figure; one that is no number stays absent.
func (r *report) set(key string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		delete(r.figures, key)
		return
	}
	r.figures[key] = v
}

// setMedian records the median of what pick finds in the measurements of target.
func (r *report) setMedian(key string, ms []measurement, target string, pick func(measurement) float64) {
	r.set(key, stat.Median(pluck(ms, target, pick)))
}

func pluck(ms []measurement, target string, pick func(measurement) float64) []float64 {
	var out []float64
	for _, m := range ms {
		if m.Target == target {
			out = append(out, pick(m))
		}
	}
	return out
}

func (r *report) get(key string) (float64, bool) {
	v, ok := r.figures[key]
	return v, ok
}

// sum brings the accounts of all parts together.
func (r *report) sum() {
	var missing, duplicates int64
	for _, p := range r.Parts {
		missing += p.Missing
		duplicates += p.Duplicates
	}
	r.set(figMissing, float64(missing))
	r.set(figDuplicates, float64(duplicates))
}

// MarshalJSON writes every figure, null when it was not measured.
func (r *report) MarshalJSON() ([]byte, error) {
	out := map[string]any{"machine": r.Machine, "parts": r.Parts}
	for _, f := range r.suite.figures {
		out[f.key] = nil
		if v, ok := r.get(f.key); ok {
			out[f.key] = json.Number(number(v))
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote and ignores figures it does not know.
func (r *report) UnmarshalJSON(b []byte) error {
	var head struct {
		Machine machine          `json:"machine"`
		Parts   map[string]*part `json:"parts"`
	}
	var all map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(b, &head), json.Unmarshal(b, &all)); err != nil {
		return err
	}
	*r = report{Machine: head.Machine, Parts: head.Parts, suite: r.suite, figures: map[string]float64{}}
	for _, f := range r.suite.figures {
		var v *float64
		if err := json.Unmarshal(all[f.key], &v); err == nil && v != nil {
			r.figures[f.key] = *v
		}
	}
	return nil
}

// number writes a figure with at least four significant digits and no noise behind them.
func number(v float64) string {
	if math.Abs(v) >= 1000 || v == math.Trunc(v) {
		return strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	}
	n, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64) // what FormatFloat wrote is a number
	return strconv.FormatFloat(n, 'f', -1, 64)
}

// readReport reads the figures of earlier runs; none when there is no file.
func readReport(s suite, path string) (*report, error) {
	rep := &report{Parts: map[string]*part{}, suite: s, figures: map[string]float64{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return rep, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, rep); err != nil {
		return nil, fmt.Errorf("read the earlier figures in %s (delete the file to begin anew): %w", path, err)
	}
	if rep.Parts == nil {
		rep.Parts = map[string]*part{}
	}
	return rep, nil
}

func (r *report) write(path string) error {
	r.sum()
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// print writes the table for people: each figure with its target and whether it was met.
func (r *report) print(w io.Writer) {
	m := r.Machine
	_, _ = fmt.Fprintf(w, "\n%d cores (%s), %s, %s, %s, %s\n\n", m.Cores, m.CPU, m.Kernel, m.FileSystem, m.Go, m.Date)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "FIGURE\tVALUE\tTARGET\t\tMEANING")
	for _, row := range r.rows() {
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", row.key, row.value, row.target, row.verdict, row.label)
	}
	_ = tw.Flush() // what cannot be printed is in the file
	for _, name := range r.suite.names() {
		if p := r.Parts[name]; p != nil {
			for _, n := range p.Notes {
				_, _ = fmt.Fprintf(w, "note, %s: %s\n", name, n)
			}
			if p.Quick {
				_, _ = fmt.Fprintf(w, "note, %s: a trial run (-quick); its figures prove nothing\n", name)
			}
		}
	}
}

// row is one line of a table of figures.
type row struct{ key, value, target, verdict, label string }

func (r *report) rows() []row {
	var out []row
	for _, f := range r.suite.figures {
		line := row{key: f.key, value: "not measured", label: f.label}
		v, ok := r.get(f.key)
		if ok {
			line.value = strings.TrimSpace(number(v) + " " + f.unit)
		}
		if f.target != nil {
			var met bool
			line.target, met = f.target(r, v)
			switch {
			case !ok:
			case met:
				line.verdict = "met"
			default:
				line.verdict = "MISSED"
			}
		}
		out = append(out, line)
	}
	return out
}
