package templates

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"carom"
)

// cell is one field of a line.
type cell struct {
	text         string
	line, column int // where it begins, from 1; columns count characters
}

// record is one line of a file, or several where a field in quotes has line breaks.
type record struct {
	line  int
	cells []cell
	fault string // what is wrong with it as a whole, and the fix
}

// maxQuotedLines is how many lines a field in quotes may have. Beyond that a quotation mark was forgotten.
const maxQuotedLines = 8

// records splits a file. Each line gets its own fault, and what follows is read all the same.
func records(text []byte) ([]record, *carom.FieldError) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	switch {
	case len(text) > MaxBytes:
		return nil, carom.Invalid("", "the file has %d bytes: split it in files of at most %d", len(text), MaxBytes)
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}), bytes.HasPrefix(text, []byte{0xfe, 0xff}), bytes.IndexByte(text, 0) >= 0:
		return nil, carom.Invalid("", "it is no text in UTF-8: save it as CSV in UTF-8 (it looks like UTF-16, or a spreadsheet of another format)")
	}
	lines := splitLines(string(text))
	separator := separatorOf(lines)
	var out []record
	for n := 0; n < len(lines); {
		if blank(lines[n], separator) || n == 0 && strings.HasPrefix(lines[n], "sep=") {
			n++
			continue
		}
		r, used := split(lines[n:], separator)
		r.line = n + 1
		for i := range r.cells {
			r.cells[i].line += r.line
		}
		out = append(out, r)
		n += used
	}
	return out, nil
}

// splitLines splits a text at line breaks of any kind, which are left out.
func splitLines(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	lines := strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n")
	return lines
}

// blank says whether a line holds nothing: spreadsheets write separators for empty lines.
func blank(line string, separator byte) bool {
	return strings.Trim(line, " \t\u00a0"+string(rune(separator))) == ""
}

// separatorOf returns what separates fields: what the first line says, or has the most of.
func separatorOf(lines []string) byte {
	best, most := byte(','), 0
	for _, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "sep="); ok && len(rest) == 1 {
			return rest[0]
		}
		for _, c := range []byte{',', ';', '\t', '|'} {
			if n := strings.Count(line, string(rune(c))); n > most {
				best, most = c, n
			}
		}
		break
	}
	return best
}

// split reads one record from the beginning of lines, and says how many of them it takes. The lines of its cells count from 0.
func split(lines []string, separator byte) (r record, used int) {
	line, at := 0, 0
	for {
		c := cell{line: line, column: utf8.RuneCountInString(lines[line][:at]) + 1}
		start := at
		for start < len(lines[line]) && lines[line][start] == ' ' {
			start++
		}
		if start < len(lines[line]) && lines[line][start] == '"' {
			text, endLine, end := quoted(lines, line, start+1)
			behind := ""
			if endLine >= 0 {
				behind, _, _ = strings.Cut(lines[endLine][end:], string(rune(separator)))
			}
			// Text behind the mark of another line means that it opens a field there.
			if endLine < 0 || endLine > line && strings.TrimSpace(behind) != "" {
				r.fault = "a quotation mark is not closed: close it, and write one within quotes twice"
				return r, 1
			}
			c.text, line, at = text, endLine, end+len(behind)
			if strings.TrimSpace(behind) != "" {
				r.fault = "text stands behind a closing quotation mark: write a quotation mark within quotes twice"
			}
		} else {
			rest := lines[line][at:]
			stop := strings.IndexByte(rest, separator)
			if stop < 0 {
				stop = len(rest)
			}
			c.text = rest[:stop]
			at += stop
		}
		r.cells = append(r.cells, c)
		if at >= len(lines[line]) {
			break
		}
		at++ // the separator
	}
	size := 0
	for _, l := range lines[:line+1] {
		size += len(l)
		if r.fault == "" && !utf8.ValidString(l) {
			r.fault = "the line is not UTF-8: " + encodingOf(l)
		}
	}
	if size > maxRowBytes {
		r.fault = fmt.Sprintf("the line has %d bytes: shorten it to %d", size, maxRowBytes)
	}
	return r, line + 1
}

// quoted reads a field whose text begins at lines[line][at], up to its closing quotation mark. endLine is -1 where there is none.
func quoted(lines []string, line, at int) (text string, endLine, end int) {
	var b strings.Builder
	for n := line; n < len(lines) && n-line < maxQuotedLines; n++ {
		s := lines[n]
		if n > line {
			b.WriteByte('\n')
			at = 0
		}
		for at < len(s) {
			switch {
			case s[at] != '"':
				b.WriteByte(s[at])
				at++
			case at+1 < len(s) && s[at+1] == '"':
				b.WriteByte('"')
				at += 2
			default:
				return b.String(), n, at + 1
			}
		}
	}
	return "", -1, 0
}

// encodingOf guesses what a line is written in that is not UTF-8, and says what to do.
func encodingOf(line string) string {
	const run = 3 // letters beyond ASCII side by side make a Cyrillic word; in Western European ones they stand alone
	longest, here := 0, 0
	for _, c := range []byte(line) {
		if here++; c < 0xc0 && c != 0xa8 && c != 0xb8 {
			here = 0
		}
		longest = max(longest, here)
	}
	if longest >= run {
		return "save the file as CSV in UTF-8 (it looks like Windows-1251)"
	}
	return "save the file as CSV in UTF-8 (it looks like Windows-1252)"
}
