package probe

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The parts of a JUnit report that all its readers know.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string       `xml:"name,attr"`
		Class   string       `xml:"classname,attr"`
		Seconds string       `xml:"time,attr"`
		Failure *junitReason `xml:"failure"`
		Skipped *junitReason `xml:"skipped"`
		Output  string       `xml:"system-out,omitempty"`
	}
	junitReason struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as JUnit XML, a suite for each group. What cannot be told counts as skipped.
func (r *Report) WriteJUnit(w io.Writer) error {
	var all junitSuites
	at := map[string]int{}
	for i := range r.Checks {
		c := &r.Checks[i]
		if _, ok := at[c.Group]; !ok {
			at[c.Group] = len(all.Suites)
			all.Suites = append(all.Suites, junitSuite{Name: "carom probe: " + c.Group})
		}
		one := c.junit()
		s := &all.Suites[at[c.Group]]
		s.Cases = append(s.Cases, one)
		s.Tests++
		all.Tests++
		if one.Failure != nil {
			s.Failures++
			all.Failures++
		}
		if one.Skipped != nil {
			s.Skipped++
			all.Skipped++
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(&all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (c *Check) junit() junitCase {
	var took int64
	var sent strings.Builder
	for i := range c.Sent {
		e := &c.Sent[i]
		took += e.TookMS
		_, _ = fmt.Fprintf(&sent, "%s%s\n  %s\n", e.Sent, times(e.Times), got(e))
	}
	one := junitCase{Name: c.ID + ": " + c.Title, Class: "carom.probe." + c.ID, Seconds: fmt.Sprintf("%d.%03d", took/1000, took%1000), Output: sent.String()}
	switch c.Verdict {
	case Fail:
		one.Failure = &junitReason{Message: c.Meaning, Type: string(c.Harm), Text: c.Fix}
	case Skip, Unknown:
		one.Skipped = &junitReason{Message: c.Meaning}
	case Warn:
		one.Output = "warning: " + c.Meaning + "\n" + c.Fix + "\n" + one.Output
	}
	return one
}
