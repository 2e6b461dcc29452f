package route_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/route"
)

func TestMatches(t *testing.T) {
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprint(8790400 + i)
	}
	tests := []struct {
		name   string
		filter carom.Filter
		change func(*carom.Event)
		want   bool
	}{
		{"no filter", carom.Filter{}, nil, true},
		{"another app", carom.Filter{}, func(e *carom.Event) { e.App = "other" }, false},
		{"held", carom.Filter{}, func(e *carom.Event) { e.Held = "unknown_value" }, false},
		{"a test", carom.Filter{}, func(e *carom.Event) { e.Flags = carom.FlagTest }, true},
		{"its type", carom.Filter{EventTypes: []carom.EventType{carom.Impression, carom.Click}}, nil, true},
		{"another type", carom.Filter{EventTypes: []carom.EventType{carom.Impression}}, nil, false},
		{"its value", carom.Filter{Values: []carom.RewardEventType{carom.Valued}}, nil, true},
		{"another value", carom.Filter{Values: []carom.RewardEventType{carom.NotValued}}, nil, false},
		{"no value is not valued", carom.Filter{Values: []carom.RewardEventType{carom.Valued}}, func(e *carom.Event) { e.Value = "" }, false},
		{"no value asked for", carom.Filter{Values: []carom.RewardEventType{carom.ValueEmpty}}, func(e *carom.Event) { e.Value = "" }, true},
		{"its zone among many", carom.Filter{Zones: many}, nil, true},
		{"another zone than many", carom.Filter{Zones: many}, func(e *carom.Event) { e.ZoneID = "1" }, false},
		{"its request_var", carom.Filter{RequestVars: []string{"bonus-btn"}}, nil, true},
		{"another request_var", carom.Filter{RequestVars: []string{"bonus"}}, nil, false},
		{"its source", carom.Filter{Sources: []string{"main"}}, nil, true},
		{"another source", carom.Filter{Sources: []string{"api"}}, nil, false},
		{"one of two does not fit", carom.Filter{Sources: []string{"main"}, Zones: []string{"1"}}, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ev := sampleDelivery().Event
			if tt.change != nil {
				tt.change(ev)
			}
			e := mustCompile(t, carom.Endpoint{URL: "https://example.com/", Filter: tt.filter, Paused: true})
			if got := e.Matches(ev); got != tt.want {
				t.Errorf("Matches = %v, want %v", got, tt.want)
			}
			if got := len(route.NewTable([]*route.Endpoint{e}).Match(nil, ev)); (got == 1) != tt.want {
				t.Errorf("Match finds %d endpoints, want match %v", got, tt.want)
			}
		})
	}
}

func TestTableOrder(t *testing.T) {
	var list []*route.Endpoint
	for _, no := range []int{7, 3, 9, 1} {
		app := "my-game"
		if no == 9 {
			app = "other"
		}
		list = append(list, mustCompile(t, carom.Endpoint{No: no, App: app, Name: "n", URL: "https://example.com/"}))
	}
	table := route.NewTable(list)
	first := list[2]
	var got []int
	for _, e := range table.Match([]*route.Endpoint{first}, sampleDelivery().Event) {
		got = append(got, e.No)
	}
	if diff := cmp.Diff([]int{9, 1, 3, 7}, got); diff != "" {
		t.Errorf("numbers behind what was there (-want +got):\n%s", diff)
	}
	if got := table.Match(nil, &carom.Event{App: "nobody's"}); got != nil {
		t.Errorf("an app without endpoints matches %d", len(got))
	}
}

func TestTableBoundsFanOut(t *testing.T) {
	e := mustCompile(t, carom.Endpoint{URL: "https://example.com/"})
	list := make([]*route.Endpoint, carom.MaxFanOut+1)
	for i := range list {
		list[i] = e
	}
	if got := len(route.NewTable(list).Match(make([]*route.Endpoint, 2), sampleDelivery().Event)); got != carom.MaxFanOut+2 {
		t.Errorf("Match returns %d, want 2 and %d more", got, carom.MaxFanOut)
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	table := route.NewTable([]*route.Endpoint{mustCompile(t, carom.Endpoint{URL: "https://example.com/"})})
	dst, ev := make([]*route.Endpoint, 0, 4), sampleDelivery().Event
	if n := testing.AllocsPerRun(100, func() { _ = table.Match(dst, ev) }); n != 0 {
		t.Errorf("Match allocates %v times, want none", n)
	}
}

func TestDefaultEndpoint(t *testing.T) {
	endpoint := func(no int, name string, change func(*carom.Endpoint)) *route.Endpoint {
		e := carom.Endpoint{No: no, App: "my-game", Name: name, URL: "https://example.com/"}
		if change != nil {
			change(&e)
		}
		return mustCompile(t, e)
	}
	zones := func(list ...string) func(*carom.Endpoint) {
		return func(e *carom.Endpoint) { e.Filter.Zones = list }
	}
	byDefault := endpoint(1, "default", func(e *carom.Endpoint) { e.Default = true })
	clicksByDefault := endpoint(2, "clicks", func(e *carom.Endpoint) { e.Default, e.Filter.EventTypes = true, []carom.EventType{carom.Click} })
	table := route.NewTable([]*route.Endpoint{
		byDefault, clicksByDefault,
		endpoint(3, "everything", nil), // it names no zone
		endpoint(4, "zone-1", zones("1", "2")),
		endpoint(5, "paused", func(e *carom.Endpoint) { e.Filter.Zones, e.Paused = []string{"3"}, true }),
		endpoint(6, "valued", func(e *carom.Endpoint) {
			e.Filter.Zones, e.Filter.Values = []string{"4"}, []carom.RewardEventType{carom.Valued}
		}),
		endpoint(7, "no zone", zones("")),
		endpoint(8, "another app", func(e *carom.Endpoint) { e.App, e.Filter.Zones = "other", []string{"5"} }),
	})
	tests := []struct {
		name, app, zone string
		kind            carom.EventType
		value           carom.RewardEventType
		want            []int
	}{
		{"a zone that nobody names", "my-game", "9", carom.Impression, carom.Valued, []int{1, 3}},
		{"two defaults, of which one wants clicks", "my-game", "9", carom.Click, carom.Valued, []int{1, 2, 3}},
		{"a zone with an endpoint of its own", "my-game", "2", carom.Click, carom.Valued, []int{3, 4}},
		{"a zone whose endpoint is paused", "my-game", "3", carom.Click, carom.Valued, []int{3, 5}},
		{"a zone whose endpoint does not want it", "my-game", "4", carom.Click, carom.NotValued, []int{3}},
		{"a zone whose endpoint wants it", "my-game", "4", carom.Click, carom.Valued, []int{3, 6}},
		{"no zone, which is named", "my-game", "", carom.Click, carom.Valued, []int{3, 7}},
		{"a zone that another app names", "my-game", "5", carom.Click, carom.Valued, []int{1, 2, 3}},
		{"an app without defaults", "other", "9", carom.Click, carom.Valued, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []int
			for _, e := range table.Match(nil, &carom.Event{App: tt.app, ZoneID: tt.zone, Type: tt.kind, Value: tt.value}) {
				got = append(got, e.No)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
	dst, ev := make([]*route.Endpoint, 0, 8), &carom.Event{App: "my-game", ZoneID: "2", Type: carom.Click, Value: carom.Valued}
	if n := testing.AllocsPerRun(100, func() { _ = table.Match(dst, ev) }); n != 0 {
		t.Errorf("Match allocates %v times, want none", n)
	}
}

func TestDefaultFaults(t *testing.T) {
	const url = "https://example.com/?id={reward_id}&s={reward_state}"
	_, err := route.Compile(carom.Endpoint{URL: "https://example.com/", Default: true, Filter: carom.Filter{Zones: []string{"1"}}})
	checkFault(t, err, "default: a default endpoint is for the zones that no other names")
	_, err = route.Compile(carom.Endpoint{URL: url, Default: true, Sends: carom.SendsRewards})
	checkFault(t, err, "default: an endpoint that gets rewards looks at no zones")
}
