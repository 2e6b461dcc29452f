package reconcile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"carom"
)

// MaxFileBytes bounds a file of statistics, and maxFileRows its lines.
const (
	MaxFileBytes = 8 << 20
	maxFileRows  = 200_000
)

// decode returns the file as UTF-8 without a byte order mark, and how it was encoded. What is not UTF-8 and has no mark is
// Windows-1252, as spreadsheets of the west write it.
func decode(data []byte) (text, encoding string, err error) {
	fault := func(format string, args ...any) (string, string, error) {
		return "", "", carom.Invalid("file", format, args...)
	}
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return fault("it is empty: export it again")
	case len(data) > MaxFileBytes:
		return fault("it has more than %d MiB: export fewer days", MaxFileBytes>>20)
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		return fault("it is a workbook or an archive: save the sheet as CSV, or unpack it")
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		return fault("it is compressed: unpack it with gunzip")
	case bytes.HasPrefix(data, []byte("%PDF")):
		return fault("it is a PDF: export CSV")
	}
	switch head := bytes.ToLower(bytes.TrimSpace(data[:min(len(data), 200)])); {
	case bytes.HasPrefix(head, []byte("<")):
		return fault("it is a web page or XML, perhaps that of a login: export CSV")
	case bytes.HasPrefix(head, []byte("{")), bytes.HasPrefix(head, []byte("[")):
		return fault("it is JSON: export CSV")
	}
	var out []byte
	switch {
	case bytes.HasPrefix(data, []byte{0xef, 0xbb, 0xbf}):
		out, encoding = data[3:], "UTF-8"
		if !utf8.Valid(out) {
			return fault("it is marked as UTF-8 and is not: export it again as UTF-8")
		}
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		if len(data)%2 != 0 {
			return fault("it is UTF-16 and ends within a character: export it again")
		}
		if out, err = unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder().Bytes(data); err != nil {
			return fault("it is marked as UTF-16 and is not: export it again as UTF-8")
		}
		encoding = "UTF-16"
	case bytes.IndexByte(data, 0) >= 0:
		return fault("it holds NUL bytes: it is no text, or UTF-16 without its mark; export it again as UTF-8")
	case utf8.Valid(data):
		out, encoding = data, "UTF-8"
	default:
		if out, err = charmap.Windows1252.NewDecoder().Bytes(data); err != nil {
			return fault("its encoding is not known: export it again as UTF-8")
		}
		encoding = "Windows-1252"
	}
	if bytes.IndexByte(out, 0) >= 0 {
		return fault("it holds NUL characters: it is no text; export it again as CSV")
	}
	return string(out), encoding, nil
}

// record is one line of the file. Line numbers begin at 1, and are those of the file also where a quoted field has several lines.
type record struct {
	line  int
	cells []string
}

// blank says whether no cell holds anything.
func (r *record) blank() bool {
	for _, cell := range r.cells {
		if cell != "" {
			return false
		}
	}
	return true
}

// separators are what may stand between fields, the likeliest first.
const separators = ",;\t|"

// split reads the records of a text with a separator. Cells are trimmed. It reads at most limit records if limit is above zero.
func split(text string, separator rune, skip, limit int) ([]record, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = separator, -1, false
	r.ReuseRecord = false
	var out []record
	for limit <= 0 || len(out) < limit {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		var bad *csv.ParseError
		if errors.As(err, &bad) {
			why := "a quotation mark stands where none may: fields that hold one are quoted, and it is doubled"
			if errors.Is(bad.Err, csv.ErrQuote) {
				why = "the quotation that begins in this line does not end, or the field goes on behind it"
			}
			return out, &carom.FieldError{Line: bad.StartLine + skip, Column: max(bad.Column, 1), Message: why}
		}
		if err != nil {
			return out, err
		}
		line, _ := r.FieldPos(0)
		for i := range cells {
			cells[i] = strings.TrimFunc(cells[i], space)
		}
		if out = append(out, record{line + skip, cells}); len(out) > maxFileRows {
			return out, carom.Invalid("file", "it has more than %d lines: export it by the day, without countries and devices", maxFileRows)
		}
	}
	return out, nil
}

// space says whether a character only separates: spaces of every kind and what spreadsheets leave behind.
func space(r rune) bool {
	switch r {
	case ' ', '\t', '\r', '\n', '\u00a0', '\u2007', '\u2009', '\u202f', '\ufeff':
		return true
	}
	return false
}

// marked takes the line with which Excel is told the separator ("sep=;") off the text.
func marked(text string) (rest string, separator rune, skip int) {
	first, after, _ := strings.Cut(text, "\n")
	if value, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(first)), "sep="); ok && len(value) == 1 && strings.Contains(separators, value) {
		return after, rune(value[0]), 1
	}
	return text, 0, 0
}
