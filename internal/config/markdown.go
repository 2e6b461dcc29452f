package config

import (
	"fmt"
	"strings"
)

const pageHead = "# Settings\n\n" +
	"<!-- Generated from internal/config by `go test ./internal/config -update`. Do not edit. -->\n\n" +
	"Settings of the process. What it serves (apps, sources, endpoints) is in the objects file, see `carom apply`.\n\n" +
	"A flag wins over an environment variable, a variable over the settings file, the file over the default. The settings file is\n" +
	"YAML, one `key: value` a line, and is named by `--settings` or `CAROM_SETTINGS`; an unknown key in it is an error. Durations\n" +
	"are written as `90s`, `10m`, `72h` or `30d`. `carom check` prints every value with its origin.\n\n" +
	"| key | flag | variable | kind | default | meaning |\n" +
	"|---|---|---|---|---|---|\n"

// Markdown writes docs/config.md from the table of settings.
func Markdown() string {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, s := range keys(settings()) {
		key, init := "`"+s.key+"`", ""
		if s.noFile {
			key = "(not in the file)"
		}
		if s.init != "" {
			init = "`" + s.init + "`"
		}
		value, flag := s.bind(&Config{}), "`--"+s.flag()+"`"
		if s.secret && !s.flagged {
			flag = ""
		}
		kind := value.Type()
		if bounded, ok := value.(interface{ bounds() string }); ok {
			kind += ", " + bounded.bounds()
		}
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s | %s | %s |\n", key, flag, s.env(), kind, init, s.help)
	}
	return b.String()
}
