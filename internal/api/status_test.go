package api

import (
	"slices"
	"strings"
	"testing"
	"time"

	"carom"
)

// healthy is a server on which all is well; each test breaks one thing.
func healthy() *facts {
	return &facts{
		Now: noon(),
		Objects: carom.Objects{
			Apps:      []carom.App{{Name: "shop"}},
			Sources:   []carom.Source{{App: "shop", Name: "monetag", Profile: "monetag"}},
			Endpoints: []carom.Endpoint{{No: 1, App: "shop", Name: "backend", URL: "https://shop.example/?u={ymid}"}},
		},
		Lanes:          []carom.LaneState{{Endpoint: "shop/backend", Breaker: "closed"}},
		Hour:           received(carom.OutcomeAccepted, 120),
		Day:            received(carom.OutcomeAccepted, 2000),
		EndedHour:      []carom.DeliveryCount{{Endpoint: "shop/backend", Outcome: "delivered", N: 120}},
		Heard:          map[string]bool{"shop/monetag": true},
		RefusedDetails: map[string]string{},
	}
}

func received(outcome string, n int64) []carom.Count {
	return []carom.Count{{At: noon().Add(-2 * time.Hour), App: "shop", Source: "monetag", Outcome: outcome, N: n}}
}

func TestJudge(t *testing.T) {
	both := func(f *facts, outcome string, hour, day int64) {
		f.Hour = append(f.Hour, received(outcome, hour)...)
		f.Day = append(f.Day, received(outcome, day)...)
	}
	tests := []struct {
		name    string
		change  func(*facts)
		verdict Severity
		worst   Severity // of the first item; empty when there is none
		fault   Fault
		subject string
		says    []string // in what, how much, or next of the first item
	}{
		{"all is well", func(*facts) {}, OK, "", "", "", nil},
		{"nothing is configured", func(f *facts) { f.Objects = carom.Objects{}; f.Hour, f.Day = nil, nil },
			Attention, Attention, Configuration, "server", []string{"no source", "carom quickstart monetag"}},
		{"nothing can be stored", func(f *facts) {
			f.Trouble = carom.Trouble{Since: noon().Add(-time.Minute), Reason: "database or disk is full"}
		}, LosingMoney, LosingMoney, Ours, "the server", []string{"disk is full", "free space"}},
		{"nothing goes out", func(f *facts) { f.Objects.Endpoints = nil },
			Attention, Attention, Configuration, "server", []string{"no endpoint"}},
		{"a lane is open and nothing expires soon", func(f *facts) {
			f.Lanes[0] = carom.LaneState{Endpoint: "shop/backend", Breaker: "open", LastFailure: "status 503", Since: noon().Add(-time.Hour)}
			f.Backlogs = []carom.Backlog{{Endpoint: 1, Waiting: 40, Oldest: noon().Add(-time.Hour)}}
		}, Attention, Attention, Receiver, "endpoint shop/backend",
			[]string{"status 503", "40 deliveries wait", "the first expires 2026-03-07 11:00 UTC", "carom resume shop/backend"}},
		{"a lane is open and the oldest expires within the hour", func(f *facts) {
			f.Lanes[0] = carom.LaneState{Endpoint: "shop/backend", Breaker: "open", LastFailure: "timeout"}
			f.Backlogs = []carom.Backlog{{Endpoint: 1, Waiting: 40, Oldest: noon().Add(-carom.DefaultDeadline + 30*time.Minute)}}
		}, LosingMoney, LosingMoney, Receiver, "endpoint shop/backend", []string{"expire within the hour"}},
		{"a lane is open because its address is private", func(f *facts) {
			f.Lanes[0] = carom.LaneState{Endpoint: "shop/backend", Breaker: "open", LastFailure: "address refused: 10.0.0.1 is in a private network"}
		}, Attention, Attention, Configuration, "endpoint shop/backend", []string{"objects file", "nothing waits"}},
		{"an endpoint is paused", func(f *facts) { f.Objects.Endpoints[0].Paused = true },
			Attention, Attention, Configuration, "endpoint shop/backend", []string{"paused", "carom resume shop/backend"}},
		{"a few repeats are everyday", func(f *facts) {
			f.Backlogs = []carom.Backlog{{Endpoint: 1, Waiting: 3, Oldest: noon().Add(-time.Minute)}}
		}, OK, "", "", "", nil},
		{"an old backlog", func(f *facts) {
			f.Backlogs = []carom.Backlog{{Endpoint: 1, Waiting: 3, Oldest: noon().Add(-time.Hour)}}
		}, Attention, Attention, Configuration, "endpoint shop/backend", []string{"3 deliveries wait", "raise `rate`"}},
		{"an old backlog that fails", func(f *facts) {
			f.Backlogs = []carom.Backlog{{Endpoint: 1, Waiting: 3, Oldest: noon().Add(-time.Hour)}}
			f.Lanes[0].LastFailure = "status 404"
		}, Attention, Attention, Configuration, "endpoint shop/backend", []string{"last failure: status 404", "correct the URL"}},
		{"deliveries die now", func(f *facts) {
			f.EndedHour = append(f.EndedHour, carom.DeliveryCount{Endpoint: "shop/backend", Outcome: "dead", N: 2})
			f.EndedDay = []carom.DeliveryCount{{At: noon().Add(-3 * time.Hour), Endpoint: "shop/backend", Outcome: "dead", N: 5}}
		}, LosingMoney, LosingMoney, Receiver, "endpoint shop/backend", []string{"dead", "2 in the last hour, 5 in the last day", "carom resend"}},
		{"deliveries expired this morning", func(f *facts) {
			f.EndedDay = []carom.DeliveryCount{{At: noon().Add(-3 * time.Hour), Endpoint: "shop/backend", Outcome: "expired", N: 5}}
		}, Attention, Attention, Receiver, "endpoint shop/backend", []string{"expired", "0 in the last hour"}},
		{"an endpoint was deleted", func(f *facts) {
			f.EndedHour = append(f.EndedHour, carom.DeliveryCount{Endpoint: "#7", Outcome: "dead", N: 2})
			f.EndedDay = f.EndedHour
		}, OK, Note, Configuration, "endpoint #7", []string{"deleted endpoint"}},
		{"macros arrive as text", func(f *facts) {
			both(f, "refused:literal_macro", 7, 9)
			f.RefusedDetails["shop/monetag literal_macro"] = "ymid is {ymid} as text."
		}, LosingMoney, LosingMoney, Configuration, "source shop/monetag",
			[]string{"macro arrives as text", "(ymid is {ymid} as text)", "7 in the last hour", "carom show --refused --app shop --source monetag"}},
		{"every reason for a refusal is explained", func(f *facts) { both(f, "refused:bad_body", 0, 1) },
			Attention, Attention, Network, "source shop/monetag", []string{"body"}},
		{"ymids repeat where each stands for a view", func(f *facts) { both(f, carom.OutcomeDuplicateLate, 4, 50) },
			LosingMoney, LosingMoney, Configuration, "source shop/monetag", []string{"ymids repeat", "`ymid: view`", "set `ymid: user`", "50 in the last day"}},
		{"ymids repeat where they may", func(f *facts) {
			f.Objects.Sources[0].YMID = carom.YMIDUser
			both(f, carom.OutcomeDuplicateLate, 4, 50)
		}, OK, "", "", "", nil},
		{"copies disagree", func(f *facts) { both(f, carom.OutcomeConflict, 1, 1) },
			Attention, Attention, Network, "source shop/monetag", []string{"disagree"}},
		{"events are held", func(f *facts) { both(f, carom.OutcomeHeld, 1, 1) },
			Attention, Attention, Network, "source shop/monetag", []string{"held"}},
		{"a source is frozen", func(f *facts) {
			f.Objects.Sources[0].Mode = carom.SourceFrozen
			f.Waiting = map[string]waiting{"shop/monetag": {frozen: 40, more: true}}
			both(f, carom.OutcomeHeld, 1, 1)
		}, Attention, Attention, Configuration, "source shop/monetag", []string{"it is frozen", "at least 40 events waiting", "carom thaw shop/monetag", "--reason frozen"}},
		{"a thawed source left events behind", func(f *facts) {
			f.Waiting = map[string]waiting{"shop/monetag": {frozen: 1}}
			both(f, carom.OutcomeHeld, 1, 1)
		}, Attention, Attention, Configuration, "source shop/monetag", []string{"while it was frozen", "1 event waiting", "carom reprocess --app shop --source monetag"}},
		{"all held events were reprocessed", func(f *facts) {
			f.Waiting = map[string]waiting{"shop/monetag": {}}
			both(f, carom.OutcomeHeld, 9, 9)
		}, OK, "", "", "", nil},
		{"a source is in shadow", func(f *facts) {
			f.Objects.Sources[0].Mode = carom.SourceShadow
			both(f, carom.OutcomeHeld, 9, 9)
		}, OK, Note, Configuration, "source shop/monetag", []string{"in shadow"}},
		{"nothing that the network pays for is counted", func(f *facts) {
			f.RewardHour, f.RewardDay = received(carom.OutcomeUncounted, 3), received(carom.OutcomeUncounted, 70)
		}, Attention, Attention, Configuration, "source shop/monetag", []string{"no rule counts any", "3 in the last hour, 70 in the last day", "add a rule"}},
		{"some that the network pays for is not counted", func(f *facts) {
			f.RewardDay = append(received(carom.OutcomeUncounted, 70), received("reward:granted:watch", 5)...)
		}, OK, Note, Configuration, "source shop/monetag", []string{"no rule counts"}},
		{"rewards are declined for no user", func(f *facts) {
			f.RewardDay = append(received("reward:declined:no_user:watch", 70), received("reward:declined:no_user:more", 1)...)
		}, Attention, Attention, Configuration, "source shop/monetag", []string{"no_user, by more, watch", "71 in the last day", "open views"}},
		{"caps do what they are for", func(f *facts) { f.RewardDay = received("reward:declined:capped:watch", 70) }, OK, "", "", "", nil},
		{"rewards are granted and nobody is to hear of it", func(f *facts) {
			f.Hour, f.Day = received(carom.OutcomeUnmatched, 9), received(carom.OutcomeUnmatched, 9)
			f.RewardDay = received("reward:granted:watch", 9)
		}, OK, Note, Configuration, "source shop/monetag", []string{"match no endpoint"}},
		{"rewards wait, and expire within a day", func(f *facts) {
			f.Objects.Endpoints[0].Sends = carom.SendsRewards
			f.Lanes[0] = carom.LaneState{Endpoint: "shop/backend", Breaker: "open", LastFailure: "timeout"}
			f.Backlogs = []carom.Backlog{{Endpoint: 1, Waiting: 40, Oldest: noon().Add(-carom.RewardDeadline + 20*time.Hour)}}
		}, LosingMoney, LosingMoney, Receiver, "endpoint shop/backend", []string{"waiting rewards expire within a day", "2026-03-05 08:00"}},
		{"some events are wanted by nobody", func(f *facts) { both(f, carom.OutcomeUnmatched, 9, 9) },
			OK, Note, Configuration, "source shop/monetag", []string{"match no endpoint"}},
		{"all events are wanted by nobody", func(f *facts) {
			f.Hour, f.Day = received(carom.OutcomeUnmatched, 9), received(carom.OutcomeUnmatched, 9)
		}, Attention, Attention, Configuration, "source shop/monetag", []string{"all events", "filter"}},
		{"only wrong secrets come", func(f *facts) {
			f.Hour = received("unverified:wrong_secret", 3)
			f.Day = append(f.Day, received("unverified:wrong_secret", 3)...)
		}, Attention, Attention, Configuration, "source shop/monetag", []string{"wrong secret", "carom rotate shop/monetag"}},
		{"a few wrong secrets beside good ones", func(f *facts) { both(f, "unverified:wrong_secret", 3, 3) }, OK, "", "", "", nil},
		{"somebody guesses secrets", func(f *facts) { both(f, "unverified:wrong_secret", 300, 300) },
			Attention, Attention, Network, "source shop/monetag", []string{"somebody guesses"}},
		{"a source was never heard of", func(f *facts) { f.Hour, f.Day, f.Heard = nil, nil, nil },
			Attention, Attention, Configuration, "source shop/monetag", []string{"last seven days", "carom rotate shop/monetag"}},
		{"an API source was never heard of", func(f *facts) {
			f.Hour, f.Day, f.Heard = nil, nil, nil
			f.Objects.Sources[0].Profile = carom.ProfileAPI
		}, Attention, Attention, Configuration, "source shop/monetag", []string{"carom send event"}},
		{"a scanner passes by", func(f *facts) { f.Hour = append(f.Hour, carom.Count{Outcome: "unverified:unknown_app", N: 5}) },
			OK, Note, Network, "server", []string{"does not exist"}},
		{"a flood of unknown senders", func(f *facts) { f.Hour = append(f.Hour, carom.Count{Outcome: "unverified:unknown_app", N: 5000}) },
			Attention, Attention, Network, "server", []string{"5000 in the last hour"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy()
			tt.change(f)
			st := judge(f)
			if st.Verdict != tt.verdict || st.Sentence == "" || !st.At.Equal(noon()) {
				t.Errorf("verdict %s (%s), want %s; items: %+v", st.Verdict, st.Sentence, tt.verdict, st.Items)
			}
			if tt.worst == "" {
				if len(st.Items) != 0 {
					t.Fatalf("items where none was expected: %+v", st.Items)
				}
				return
			}
			if len(st.Items) == 0 {
				t.Fatal("no items")
			}
			it := st.Items[0]
			if it.Severity != tt.worst || it.Fault != tt.fault || it.Subject != tt.subject {
				t.Errorf("got %s, fault %s, subject %q; want %s, %s, %q", it.Severity, it.Fault, it.Subject, tt.worst, tt.fault, tt.subject)
			}
			for _, want := range tt.says {
				if !strings.Contains(it.What+"\n"+it.HowMuch+"\n"+it.Next, want) {
					t.Errorf("%q is missing in:\n%s\n%s\n%s", want, it.What, it.HowMuch, it.Next)
				}
			}
			for _, it := range st.Items {
				if it.What == "" || it.Next == "" || !slices.Contains(Kinds(), it.Kind) || it.Runbook == "" {
					t.Errorf("an item without kind, what, next or runbook: %+v", it)
				}
			}
		})
	}
}

func TestJudgePutsTheWorstFirst(t *testing.T) {
	f := healthy()
	f.Objects.Endpoints[0].Paused = true
	f.Hour = append(f.Hour, received("refused:no_identity", 1)...)
	f.Hour = append(f.Hour, received(carom.OutcomeUnmatched, 1)...)
	st := judge(f)
	var got []string
	for _, it := range st.Items {
		got = append(got, string(it.Severity))
	}
	if want := "losing_money,attention,note"; strings.Join(got, ",") != want {
		t.Errorf("severities %v, want %s", got, want)
	}
	if !strings.HasPrefix(st.Sentence, "Money is being lost: source shop/monetag: postbacks are refused") {
		t.Errorf("sentence %q", st.Sentence)
	}
}

func TestStatusTakesSinceFromTheEarliestHour(t *testing.T) {
	f := healthy()
	early := noon().Add(-5 * time.Hour)
	f.Day = append(f.Day, received("refused:no_identity", 2)...)
	f.Day = append(f.Day, carom.Count{At: early, App: "shop", Source: "monetag", Outcome: "refused:no_identity", N: 1})
	if it := judge(f).Items[0]; !it.Since.Equal(early) {
		t.Errorf("since %s, want %s", it.Since, early)
	}
}
