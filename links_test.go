package carom_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	fencedCode   = regexp.MustCompile("(?ms)^ {0,3}```.*?^ {0,3}```")
	inlineCode   = regexp.MustCompile("`[^`\n]*`")
	markdownLink = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|(?m)^\[[^\]]+\]:\s*(\S+)`)
	heading      = regexp.MustCompile(`(?m)^#{1,6}\s+(.+?)\s*#*$`)
)

// TestMarkdownLinks checks that every relative link in a Markdown file leads to a file, and to a heading where it names
// one. Links to other hosts are not followed: the tests run offline.
func TestMarkdownLinks(t *testing.T) {
	walkFiles(t, func(path string) {
		if !strings.HasSuffix(path, ".md") || strings.Contains(path, "testdata/") {
			return
		}
		text := readMarkdown(t, path)
		for _, m := range markdownLink.FindAllStringSubmatch(inlineCode.ReplaceAllString(text, ""), -1) {
			link := m[1] + m[2]
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(link, "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), filepath.FromSlash(file))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads nowhere", path, link)
				continue
			}
			if anchor != "" && strings.HasSuffix(target, ".md") && !anchors(readMarkdown(t, target))[anchor] {
				t.Errorf("%s: the link %s names no heading of %s", path, link, target)
			}
		}
	})
}

// readMarkdown returns the text of a Markdown file without its blocks of code, in which nothing is a link or a heading.
func readMarkdown(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return fencedCode.ReplaceAllString(string(text), "")
}

// anchors returns the names by which the headings of text can be linked to, made as repository hosts make them.
func anchors(text string) map[string]bool {
	names := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		var b strings.Builder
		for _, r := range strings.ToLower(m[1]) {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				b.WriteRune(r)
			case r == ' ':
				b.WriteByte('-')
			}
		}
		names[b.String()] = true
	}
	return names
}
