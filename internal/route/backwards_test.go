package route_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom/internal/route"
)

func TestReadBackwards(t *testing.T) {
	vendor := route.Names{Params: map[string]string{
		"ymid": "ymid", "zone": "zone_id", "event": "event_type", "value": "reward_event_type", "amount": "estimated_price",
	}}
	wild := route.Names{Params: map[string]string{"uid": "ymid", "source": "request_var", "event": "event_type"}}
	const wildQuery = "uid={ymid}&source={request_var}&event={event_type}"
	tests := []struct {
		name, template string
		want           route.Names
	}{
		{"the vendor's example",
			"https://yourdomain.com/postback?ymid={ymid}&zone={zone_id}&event={event_type}&value={reward_event_type}&amount={estimated_price}", vendor},
		{"a query", "?" + wildQuery, wild},
		{"a query without question mark", wildQuery, wild},
		{"a path", "/postback?" + wildQuery, wild},
		{"no scheme", "example.com/postback?" + wildQuery, wild},
		{"white space around", "  https://example.com?" + wildQuery + "\n", wild},
		{"encoded braces", "https://example.com/?uid=%7Bymid%7D&source=%7brequest_var%7d&event={event_type%7D", wild},
		{"empty parameters", "?&uid={ymid}&&source={request_var}&event={event_type}&", wild},
		{"static parameters", "https://example.com/in/abc?token=s3cr3t&uid={ymid}&debug&lang=en%20US&empty=",
			route.Names{Params: map[string]string{"uid": "ymid"}, Static: []string{"token", "debug", "lang", "empty"}}},
		{"encoded names", "?user%5Bid%5D={ymid}&a+b={zone_id}",
			route.Names{Params: map[string]string{"user[id]": "ymid", "a b": "zone_id"}}},
		{"one macro under two names", "?uid={ymid}&id={ymid}", route.Names{Params: map[string]string{"uid": "ymid", "id": "ymid"}}},
		{"all eight", "?a={ymid}&b={zone_id}&c={sub_zone_id}&d={request_var}&e={telegram_id}&f={event_type}&g={reward_event_type}&h={estimated_price}",
			route.Names{Params: map[string]string{"a": "ymid", "b": "zone_id", "c": "sub_zone_id", "d": "request_var", "e": "telegram_id",
				"f": "event_type", "g": "reward_event_type", "h": "estimated_price"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := route.ReadBackwards(tt.template, route.Monetag())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ReadBackwards(%q) (-want +got):\n%s", tt.template, diff)
			}
		})
	}
}

func TestReadBackwardsFaults(t *testing.T) {
	tests := []struct{ name, template, want string }{
		{"an unknown macro", "?e={event}", "unknown macro {event}: did you mean {event_type}?"},
		{"one of carom's macros", "?e={event_id}", "unknown macro {event_id}"},
		{"a further field", "?e={field.x}", "unknown macro {field.x}"},
		{"upper case", "?e={YMID}", "unknown macro {YMID}: did you mean {ymid}?"},
		{"an empty macro", "?e={}", "unknown macro {}: the network's are {ymid}"},
		{"a macro with a space", "?e={zone%20id}", "unknown macro {zone id}: did you mean {zone_id}?"},
		{"a macro in the path", "https://example.com/{ymid}?e={event_type}", "stands before the query"},
		{"an encoded macro in the path", "https://example.com/%7Bymid%7D?e={event_type}", "stands before the query"},
		{"a macro in the host", "https://{zone_id}.example.com/?e={event_type}", "stands before the query"},
		{"no query at all", "https://example.com/{ymid}", "stands before the query"},
		{"a macro in a name", "?{ymid}=1", "stands in the name"},
		{"text before", "?u=tg_{ymid}", "is more than one macro: give {ymid} a parameter of its own"},
		{"text behind", "?u={ymid}_1", "is more than one macro"},
		{"two macros", "?u={ymid}{zone_id}", "is more than one macro"},
		{"another delimiter", "?u=${ymid}", "is more than one macro"},
		{"a brace left open", "?u={ymid", "without its partner"},
		{"a brace closed alone", "?u=ymid}", "without its partner"},
		{"braces the wrong way", "?u=}ymid{", "without its partner"},
		{"the same parameter twice", "?u={ymid}&u={zone_id}", `"u" stands twice`},
		{"the same parameter twice, encoded", "?u={ymid}&%75=1", `"u" stands twice`},
		{"no name", "?={ymid}", "has no name"},
		{"a broken name", "?%zz={ymid}", "broken percent-encoding"},
		{"a broken value", "?u={ymid}&token=hunter2%", `the value of "token" has a broken percent-encoding`},
		{"HTML", "?u={ymid}&amp;zone={zone_id}", "write &"},
		{"a fragment", "https://example.com/?u={ymid}#top", "remove #"},
		{"no macro", "https://example.com/?token=hunter2", "no parameter holds a macro"},
		{"no query", "https://example.com/postback", "no parameter holds a macro"},
		{"nothing", "", "no parameter holds a macro"},
		{"too long", "?u={ymid}&a=" + strings.Repeat("a", 8192), "shorten it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := route.ReadBackwards(tt.template, route.Monetag())
			checkFault(t, err, "template: "+tt.want)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a static value: %v", err)
			}
		})
	}
}

// FuzzReadBackwards: whatever is read is one of Monetag's macros, under a name that stands in the template.
func FuzzReadBackwards(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/postback?ymid={ymid}&zone={zone_id}", "?uid=%7Bymid%7D&s=1", "a={ymid}", "{", "?%=", "?a={event}", "?a}{=&&",
	} {
		f.Add(seed)
	}
	monetag := make(map[string]bool)
	for _, m := range route.Macros()[:8] {
		monetag[m.Name] = true
	}
	f.Fuzz(func(t *testing.T, template string) {
		names, err := route.ReadBackwards(template, route.Monetag())
		if err != nil {
			faultsOf(t, err)
			return
		}
		seen := make(map[string]bool)
		for name, macro := range names.Params {
			seen[name] = true
			if !monetag[macro] {
				t.Errorf("%q: %q is said to bring %q", template, name, macro)
			}
		}
		for _, name := range names.Static {
			if seen[name] {
				t.Errorf("%q: %q comes twice", template, name)
			}
			seen[name] = true
		}
		_, query, found := strings.Cut(template, "?")
		if !found {
			query = template
		}
		// The door decodes what a network sends for this template with the same function.
		for param := range strings.SplitSeq(strings.TrimSpace(query), "&") {
			rawName, _, _ := strings.Cut(param, "=")
			name, err := url.QueryUnescape(rawName)
			if param != "" && (err != nil || !seen[name]) {
				t.Errorf("%q: %q is not read", template, param)
			}
		}
	})
}

func TestReadBackwardsInOtherNotations(t *testing.T) {
	brackets := route.Notation{Macros: []string{"[USER_ID]", "[EVENT_ID]"}}
	for _, tt := range []struct {
		name, template string
		notation       route.Notation
		want           route.Names
		fault          string
	}{
		{"brackets", "https://a.example/?u=[USER_ID]&e=%5BEVENT_ID%5D&x=1", brackets, route.Names{Params: map[string]string{"u": "USER_ID", "e": "EVENT_ID"}, Static: []string{"x"}}, ""},
		{"a macro that is not known", "?u=[USER_ID]&c=[COUNTRY]", brackets, route.Names{Params: map[string]string{"u": "USER_ID", "c": "COUNTRY"}}, ""},
		{"braces are text there", "?u=[USER_ID]&c={x}", brackets, route.Names{Params: map[string]string{"u": "USER_ID"}, Static: []string{"c"}}, ""},
		{"an address in brackets", "https://[2001:db8::1]/?u=[USER_ID]", brackets, route.Names{Params: map[string]string{"u": "USER_ID"}}, ""},
		{"no macro after all", "?u=[a b]", brackets, route.Names{}, "no macro of the network"},
		{"text beside", "?u=x[USER_ID]", brackets, route.Names{}, "more than one macro: give [USER_ID]"},
		{"in the path", "https://a.example/[USER_ID]?a=b", brackets, route.Names{}, "stands before the query"},
		{"left open", "?u=[USER_ID", brackets, route.Names{}, "without its partner"},
		{"double braces", "?u={{userId}}", route.Notation{Macros: []string{"{{userId}}"}}, route.Names{Params: map[string]string{"u": "userId"}}, ""},
		{"percent signs", "?u=%%ID%%", route.Notation{Macros: []string{"%%ID%%"}}, route.Names{Params: map[string]string{"u": "ID"}}, ""},
		{"a colon inside", "?u=[%USER:UID%]", route.Notation{Macros: []string{"[%TX%]", "[%USER:UID%]"}}, route.Names{Params: map[string]string{"u": "USER:UID"}}, ""},
		{"no macros at all", "https://a.example/?token=x&a=b", route.Notation{}, route.Names{Params: map[string]string{}, Static: []string{"token", "a"}}, ""},
		{"a complete list", "?u=[USERID]", route.Notation{Macros: brackets.Macros, Complete: true}, route.Names{}, "unknown macro [USERID]: did you mean [USER_ID]?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := route.ReadBackwards(tt.template, tt.notation)
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Errorf("ReadBackwards(%q) = %v, want a fault with %q", tt.template, err, tt.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ReadBackwards(%q) (-want +got):\n%s", tt.template, diff)
			}
		})
	}
}
