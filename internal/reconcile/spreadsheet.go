package reconcile

import (
	"encoding/csv"
	"io"
	"strings"
)

// WriteCSV writes lines of texts as CSV that a spreadsheet shows and never runs: a text that begins with =, +, -, @, a tab or a
// line break gets an apostrophe in front, unless it is a plain number.
func WriteCSV(w io.Writer, table [][]string) error {
	out := csv.NewWriter(w)
	for _, row := range table {
		safe := make([]string, len(row))
		for i, cell := range row {
			safe[i] = inert(cell)
		}
		if err := out.Write(safe); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func inert(cell string) string {
	if cell == "" || !strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) || plainNumber(cell) {
		return cell
	}
	return "'" + cell
}

// plainNumber says whether a text is an optional minus, digits, and digits behind one point.
func plainNumber(s string) bool {
	whole, fraction, pointed := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	return whole != "" && strings.Trim(whole, "0123456789") == "" && (!pointed || fraction != "" && strings.Trim(fraction, "0123456789") == "")
}
