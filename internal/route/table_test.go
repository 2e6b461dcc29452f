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
