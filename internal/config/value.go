package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"carom"
	"carom/internal/seal"
)

// The types below are the kinds of settings. Each is a pflag.Value at a field of Config: Set reads a text, and its error says what
// is right; String writes the text that Set reads; Type names the kind in help and documents.

// textValue is a text, with a check of its own.
type textValue struct {
	to    *string
	kind  string // empty: "text"
	check func(string) error
	tidy  func(string) string
}

func (v *textValue) Set(s string) error {
	if v.check != nil {
		if err := v.check(s); err != nil {
			return err
		}
	}
	if v.tidy != nil {
		s = v.tidy(s)
	}
	*v.to = s
	return nil
}

func (v *textValue) String() string { return *v.to }

func (v *textValue) Type() string {
	if v.kind == "" {
		return "text"
	}
	return v.kind
}

type intValue struct {
	to       *int
	min, max int
}

func (v *intValue) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < v.min || n > v.max {
		return fmt.Errorf("give a whole number from %s", v.bounds())
	}
	*v.to = n
	return nil
}

func (v *intValue) String() string { return strconv.Itoa(*v.to) }
func (v *intValue) Type() string   { return "number" }
func (v *intValue) bounds() string { return fmt.Sprintf("%d to %d", v.min, v.max) }

type boolValue struct{ to *bool }

func (v *boolValue) Set(s string) error {
	if s != "true" && s != "false" {
		return errors.New("give true or false")
	}
	*v.to = s == "true"
	return nil
}

func (v *boolValue) String() string { return strconv.FormatBool(*v.to) }

// Type is the name under which pflag lets a flag stand without a value.
func (v *boolValue) Type() string { return "bool" }

type durationValue struct {
	to       *time.Duration
	min, max time.Duration
}

func (v *durationValue) Set(s string) error {
	d, err := carom.ParseDuration(s)
	if err != nil || d < v.min || d > v.max {
		return fmt.Errorf("give a duration from %s, such as 90s, 10m, 72h or 30d", v.bounds())
	}
	*v.to = d
	return nil
}

func (v *durationValue) String() string { return carom.FormatDuration(*v.to) }
func (v *durationValue) Type() string   { return "duration" }

func (v *durationValue) bounds() string {
	return carom.FormatDuration(v.min) + " to " + carom.FormatDuration(v.max)
}

type levelValue struct{ to *slog.Level }

func (v *levelValue) Set(s string) error {
	if err := oneOf("debug", "info", "warn", "error")(s); err != nil {
		return err
	}
	return v.to.UnmarshalText([]byte(s))
}

func (v *levelValue) String() string { return strings.ToLower(v.to.String()) }
func (v *levelValue) Type() string   { return "word" }

type prefixesValue struct{ to *[]netip.Prefix }

func (v *prefixesValue) Set(s string) error {
	var list []netip.Prefix
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(item)
		if addr, addrErr := netip.ParseAddr(item); addrErr == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		switch {
		case err != nil:
			return fmt.Errorf("%q is no network: give such as 10.0.0.0/8, 192.0.2.7 or fd00::/8, separated by commas", clip(item))
		case prefix != prefix.Masked():
			return fmt.Errorf("%s has bits behind its length: give %s", prefix, prefix.Masked())
		case prefix.Addr().Is4In6():
			return fmt.Errorf("%s is an IPv4 network in IPv6 form: give it in IPv4 form", prefix)
		}
		if !slices.Contains(list, prefix) {
			list = append(list, prefix)
		}
	}
	*v.to = list
	return nil
}

func (v *prefixesValue) String() string {
	texts := make([]string, len(*v.to))
	for i, prefix := range *v.to {
		texts[i] = prefix.String()
	}
	return strings.Join(texts, ",")
}

func (v *prefixesValue) Type() string { return "networks" }

type domainsValue struct{ to *[]string }

func (v *domainsValue) Set(s string) error {
	var list []string
	for item := range strings.SplitSeq(s, ",") {
		item = strings.ToLower(strings.TrimSpace(item))
		if item == "" || slices.Contains(list, item) {
			continue
		}
		if !isDomain(item) {
			return fmt.Errorf("%q is no domain: give such as ads.example.com, without https:// and port, separated by commas; a certificate for *. is none that can be obtained here", clip(item))
		}
		list = append(list, item)
	}
	*v.to = list
	return nil
}

func (v *domainsValue) String() string { return strings.Join(*v.to, ",") }
func (v *domainsValue) Type() string   { return "names" }

type originsValue struct{ to *[]string }

func (v *originsValue) Set(s string) error {
	var list []string
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" || slices.Contains(list, item) {
			continue
		}
		u, err := url.Parse(item)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || item != u.Scheme+"://"+u.Host || strings.ContainsAny(item, " ;'*") {
			return fmt.Errorf("%q is no origin: give such as https://panel.example.com, without a path, separated by commas", clip(item))
		}
		list = append(list, item)
	}
	*v.to = list
	return nil
}

func (v *originsValue) String() string { return strings.Join(*v.to, ",") }
func (v *originsValue) Type() string   { return "origins" }

// keysValue is a setting of keys. It never writes them, but their ids.
type keysValue struct{ to **seal.Ring }

func (v *keysValue) Set(s string) error {
	keys, err := seal.Parse(s)
	if err != nil || keys == nil && s != "" {
		return errors.New("give 32 bytes in hexadecimal or base64, as `carom keys secret` makes them; several are separated by commas, blanks or lines")
	}
	*v.to = keys
	return nil
}

func (v *keysValue) String() string { return (*v.to).String() }
func (v *keysValue) Type() string   { return "keys" }

// isDomain says whether s is a host name of letters, digits and dashes, and no address.
func isDomain(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

func checkEmail(s string) error {
	if at := strings.IndexByte(s, '@'); at < 1 || at == len(s)-1 || strings.ContainsAny(s, " \t,;<>") {
		return errors.New("give an address such as ops@example.com")
	}
	return nil
}

func checkHTTPS(s string) error {
	if err := checkBaseURL(s); err != nil || !strings.HasPrefix(s, "https://") {
		return errors.New("give the URL of a directory, such as https://acme-v02.api.letsencrypt.org/directory")
	}
	return nil
}

func checkPresent(s string) error {
	if s == "" {
		return errors.New("give one, or leave the setting out for its default")
	}
	return nil
}

func orEmpty(check func(string) error) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return check(s)
	}
}

func oneOf(words ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		return fmt.Errorf("give one of %s", strings.Join(words, ", "))
	}
}

// checkAddress checks an address to listen at. A host name would be resolved at a moment that nobody chose, so that only
// localhost is let through.
func checkAddress(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err == nil && host != "" && host != "localhost" {
		_, err = netip.ParseAddr(host)
	}
	if err != nil {
		return errors.New("give an address with a port, such as 127.0.0.1:8080, [::1]:8080, or :8080 for all addresses")
	}
	return nil
}

func checkBaseURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		strings.ContainsAny(s, "?#") {
		return errors.New("give a URL such as https://ads.example.com, without credentials, ? and #")
	}
	return nil
}

func trimSlashes(s string) string { return strings.TrimRight(s, "/") }

// clip shortens text from outside for an error.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
