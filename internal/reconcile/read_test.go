package reconcile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"carom"
)

func columns(t testing.TB, network string) *Columns {
	t.Helper()
	c, err := ColumnsOf(network)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// told writes rows in short.
func told(rows []carom.StatementRow) string {
	var b strings.Builder
	number := func(n *int64) string {
		if n == nil {
			return "-"
		}
		return fmt.Sprint(*n)
	}
	for _, r := range rows {
		fmt.Fprintf(&b, "%s %s/%s %s %s %s %s\n", r.Day, r.Zone, r.SubZone, number(r.Impressions), number(r.Clicks), number(r.Valued), r.Revenue)
	}
	return b.String()
}

func TestFilesAreRead(t *testing.T) {
	const plain = "Date,Zone ID,Impressions,Clicks,Revenue\n2026-03-01,7,1000,20,1.5\n2026-03-02,7,900,10,1.25\n"
	const want = "2026-03-01 7/ 1000 20 - 1.5\n2026-03-02 7/ 900 10 - 1.25\n"
	utf16 := func(e unicode.Endianness) string {
		out, err := unicode.UTF16(e, unicode.UseBOM).NewEncoder().String(plain)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	windows, err := charmap.Windows1252.NewEncoder().String("Datum;Zone;Impressionen;Einnahmen (EUR)\n01.03.2026;Straße 1;1.000;1,50 €\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, network, text, want string }{
		{"plain", "monetag", plain, want},
		{"CRLF and a mark", "monetag", "\ufeff" + strings.ReplaceAll(plain, "\n", "\r\n"), want},
		{"UTF-16, little end first", "monetag", utf16(unicode.LittleEndian), want},
		{"UTF-16, big end first", "monetag", utf16(unicode.BigEndian), want},
		{"semicolons", "monetag", strings.ReplaceAll(plain, ",", ";"), want},
		{"tabs", "monetag", strings.ReplaceAll(plain, ",", "\t"), want},
		{"the separator is named", "monetag", "sep=;\n" + strings.ReplaceAll(plain, ",", ";"), want},
		{"Windows-1252, decimal comma", "", windows, "2026-03-01 Straße 1/ 1000 - - 1.5\n"},
		{"quoted, with thousands", "monetag", "Date,Impressions,Money\n2026-03-01,\"1,000\",\"$1,234.50\"\n", "2026-03-01 / 1000 - - 1234.5\n"},
		{"thousands by spaces", "monetag", "Date;Impressions;Money\n2026-03-01;1\u00a0000;1 234,5\n", "2026-03-01 / 1000 - - 1234.5\n"},
		{"lines of totals and a title", "monetag", "Statistics for March\n\nDate,Impressions\n2026-03-01,5\nTotal,5\n,5\n", "2026-03-01 / 5 - - \n"},
		{"day first", "", "Date,Impressions\n01/03/2026,5\n13/03/2026,6\n", "2026-03-01 / 5 - - \n2026-03-13 / 6 - - \n"},
		{"month first", "", "Date,Impressions\n03/01/2026,5\n03/13/2026,6\n", "2026-03-01 / 5 - - \n2026-03-13 / 6 - - \n"},
		{"months as words", "", "Date,Impressions\n\"Mar 1, 2026\",5\n2 Mar 2026,6\n", "2026-03-01 / 5 - - \n2026-03-02 / 6 - - \n"},
		{"hours, added up", "unityads", "timestamp,placement,start_count,view_count,revenue_sum\n2026-03-01T00:00:00.000Z,v,2,1,0.5\n2026-03-01T01:00:00.000Z,v,3,2,0.25\n",
			"2026-03-01 v/ 5 - 3 0.75\n"},
		{"absent and below zero", "monetag", "date,clicks,impressions,revenue\n20260301,-,5,(0.5)\n20260302,n/a,6,-0.25\n", "2026-03-01 / 5 - - -0.5\n2026-03-02 / 6 - - -0.25\n"},
		{"sub-zones", "monetag", "date,zone,sub_zone,imps\n2026-03-01,1,9,5\n2026-03-01,1,8,6\n", "2026-03-01 1/8 6 - - \n2026-03-01 1/9 5 - - \n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, rows, err := Read([]byte(tt.text), columns(t, tt.network), ReadOptions{File: "stats.csv"})
			if err != nil {
				t.Fatalf("Read: %v", err)
			}
			if diff := cmp.Diff(tt.want, told(rows)); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStatementSaysHowItWasRead(t *testing.T) {
	st, _, err := Read([]byte("Date;Revenue (EUR)\n01.03.2026;1,5\n03.03.2026;2,0000000001\nTotal;3\n"), columns(t, ""), ReadOptions{File: "a.csv", DayZone: "Europe/Berlin"})
	if err != nil {
		t.Fatal(err)
	}
	want := carom.Statement{
		File: "a.csv", SHA256: st.SHA256, Reading: st.Reading, Map: GenericMap, Currency: "EUR", DayZone: "Europe/Berlin", From: "2026-03-01", To: "2026-03-03",
		Rows: 2, Notes: []string{"Lines of totals were left out: 4.", "1 amounts have more than nine decimals: the rest was cut."},
	}
	if diff := cmp.Diff(want, st); diff != "" {
		t.Errorf("statement (-want +got):\n%s", diff)
	}
}

func TestBadFilesAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string // parts of the error
	}{
		{"empty", " \n", []string{"empty"}},
		{"a workbook", "PK\x03\x04rest", []string{"save the sheet as CSV"}},
		{"compressed", "\x1f\x8b\x08", []string{"gunzip"}},
		{"a web page", "<!DOCTYPE html><html>", []string{"web page"}},
		{"JSON", `[{"date":1}]`, []string{"JSON"}},
		{"UTF-16 without its mark", "d\x00a\x00t\x00e\x00", []string{"NUL"}},
		{"half a character", "\xff\xfed\x00a", []string{"ends within a character"}},
		{"marked as UTF-8, and is not", "\xef\xbb\xbfdate\xff\n", []string{"marked as UTF-8"}},
		{"no day", "Zone,Impressions\n1,2\n", []string{"no column for the day", `"Zone", "Impressions"`, "--map"}},
		{"a mistyped column", "Date,Impresions\n2026-03-01,2\n", []string{"no column for the impressions", `the nearest is "Impresions"`}},
		{"two columns of one name", "Date,Clicks,Clicks\n2026-03-01,2,3\n", []string{`two columns are called "Clicks"`}},
		{"no days", "Date,Clicks\n", []string{"no days"}},
		{"another separator", "Date^Clicks\n2026-03-01^5\n", []string{"no column for the day", `"Date^Clicks"`}},
		{"too many fields", "Date,Clicks\n2026-03-01,5\n2026-03-02,5,7\n", []string{"stats.csv:3:1", "3 fields and the header 2"}},
		{"every bad line", "Date,Clicks,Revenue\nyesterday,5,1\n2026-03-02,-5,1\n2026-03-03,1.5,1\n2026-03-04,7,12%\n2026-03-05,7,x\n",
			[]string{"stats.csv:2:1: Date", `stats.csv:3:2: Clicks: "-5" is below zero`, "stats.csv:4:2", "stats.csv:5:3: Revenue: \"12%\" is a percentage", "stats.csv:6:3"}},
		{"a quotation that does not end", "Date,Clicks\n2026-03-01,\"5\n", []string{"stats.csv:2:", "does not end"}},
		{"a stray quotation mark", "Date,Clicks\n2026-03-01,5\"5\n", []string{"stats.csv:2:"}},
		{"a day of two months", "Date,Clicks\n01/02/2026,5\n", []string{"day_format"}},
		{"two orders", "Date,Clicks\n13/02/2026,5\n02/13/2026,5\n", []string{"day first and some the month"}},
		{"thousands or decimals", "Date;Revenue\n2026-03-01;1,234\n", []string{`"1,234" may be thousands or decimals`}},
		{"two decimal signs", "Date;Revenue\n2026-03-01;1,5\n2026-03-02;1.5\n", []string{"behind a point and some behind a comma"}},
		{"two currencies", "Date,Revenue,Currency\n2026-03-01,1,USD\n2026-03-02,1,EUR\n", []string{"in EUR", "in USD"}},
		{"too large", "Date,Revenue\n2026-03-01,99999999999\n", []string{"no amount that can be kept"}},
		{"a year that cannot be", "Date,Clicks\n0026-03-01,1\n", []string{"the year"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, rows, err := Read([]byte(tt.text), columns(t, ""), ReadOptions{File: "stats.csv"})
			if !errors.Is(err, carom.ErrInvalid) || rows != nil {
				t.Fatalf("Read returns %d rows and %v, want no rows and an error that is carom.ErrInvalid", len(rows), err)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error lacks %q:\n%v", part, err)
				}
			}
		})
	}
}

func TestFaultsAreBounded(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("Date,Clicks\n")
	for range 100 {
		b.WriteString("2026-03-01,x\n")
	}
	_, _, err := Read(b.Bytes(), columns(t, ""), ReadOptions{File: "stats.csv"})
	if n := strings.Count(err.Error(), "\n"); n != maxFaults || !strings.Contains(err.Error(), "50 further faults") {
		t.Errorf("%d lines of error, want %d and a note of 50 more:\n%v", n+1, maxFaults+1, err)
	}
}

func TestColumnMaps(t *testing.T) {
	own, err := ParseColumns("columns: { day: Tag, clicks: [Klicke, Klicks] }\nday_format: DD.MM.YYYY\ndecimal: \",\"\ncurrency: eur\nday_zone: Europe/Berlin\n")
	if err != nil {
		t.Fatal(err)
	}
	st, rows, err := Read([]byte("Tag;Klicks\n01.02.2026;1.000\n"), own, ReadOptions{})
	if err != nil || told(rows) != "2026-02-01 / - 1000 - \n" || st.Map != OwnMap || st.DayZone != "Europe/Berlin" {
		t.Errorf("read %q with %v into %+v", told(rows), err, st)
	}
	if _, _, err := Read([]byte("Tag;Sonst\n01.02.2026;1.000\n"), own, ReadOptions{File: "x.csv"}); err == nil || !strings.Contains(err.Error(), "columns.clicks") {
		t.Errorf("a column that the map names and the file lacks: %v", err)
	}
	for _, tt := range []struct{ text, want string }{
		{"columns: [", "cannot be read"}, {"colums: {}", "cannot be read"}, {"columns: { clicks: x }", "map.columns.day"},
		{"columns: { day: x, klicks: y }", "map.columns.klicks"}, {"columns: { day: x }\ndecimal: ;", "map.decimal"},
		{"columns: { day: x }\nday_format: x", "map.day_format"}, {"columns: { day: x }\ncurrency: dollars", "map.currency"},
		{"columns: { day: x }\nday_zone: Nowhere", "map.day_zone"}, {"columns: { day: \"\" }", "map.columns.day"}, {strings.Repeat("x", 9000), "at most"},
	} {
		if _, err := ParseColumns(tt.text); !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseColumns(%.40q) = %v, want an error with %q", tt.text, err, tt.want)
		}
	}
	for _, name := range MapNames() {
		c := columns(t, name)
		if c.Name != name || c.Title == "" || len(c.Sources) == 0 {
			t.Errorf("the map %s is %+v: it needs a title and sources", name, c)
		}
	}
	if c := columns(t, "../../etc/passwd"); c.Name != GenericMap {
		t.Errorf("a network without a map reads as %s", c.Name)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("Date,Zone ID,Impressions,Revenue\n2026-03-01,7,\"1,000\",$1.5\nTotal,,5,1\n"))
	f.Add([]byte("sep=;\nDatum;Einnahmen (EUR)\n01.03.2026;1.234,5\n"))
	f.Add([]byte("\xff\xfed\x00"))
	generic := columns(f, "")
	f.Fuzz(func(t *testing.T, data []byte) {
		st, rows, err := Read(data, generic, ReadOptions{File: "f"})
		if err != nil {
			if !errors.Is(err, carom.ErrInvalid) {
				t.Errorf("the error is not carom.ErrInvalid: %v", err)
			}
			return
		}
		if len(rows) == 0 || st.From > st.To || st.Rows != len(rows) {
			t.Errorf("statement %+v of %d rows", st, len(rows))
		}
	})
}
