package network

import (
	"testing"
	"time"

	"carom"
)

func TestKeys(t *testing.T) {
	base := "ymid=v1&zone_id=7&event_type=click&value=yes&price=0.1&telegram_id=42&spot=a"
	const (
		same    = "same"     // the same event: a duplicate
		clash   = "conflict" // the same event with another amount or user
		another = "another"  // another event
	)
	tests := []struct {
		name  string
		kind  carom.YMIDKind
		first string
		then  string
		want  string
	}{
		{"a copy", carom.YMIDView, base, base, same},
		{"other aliases and order", carom.YMIDView, base, "tgid=42&amount=0.10&value=valued&event=CLICK&zone=7&uid=v1", same},
		{"another spot", carom.YMIDView, base, base + "2", same},
		{"another price", carom.YMIDView, base, "ymid=v1&zone_id=7&event_type=click&value=yes&price=0.2&telegram_id=42", clash},
		{"no price", carom.YMIDView, "ymid=v1&event_type=click&price=0", "ymid=v1&event_type=click", clash},
		{"another user", carom.YMIDView, base, "ymid=v1&zone_id=7&event_type=click&value=yes&price=0.1&telegram_id=43", clash},
		{"another zone", carom.YMIDView, base, "ymid=v1&zone_id=8&event_type=click&value=yes", another},
		{"another view", carom.YMIDView, base, "ymid=v2&zone_id=7&event_type=click&value=yes", another},
		{"another type", carom.YMIDView, base, "ymid=v1&zone_id=7&event_type=impression&value=yes", another},
		{"unpaid, then paid", carom.YMIDView, "ymid=v1&event_type=click&value=no", "ymid=v1&event_type=click&value=yes", another},
		{"a field moved over a boundary", carom.YMIDView, "ymid=71&zone_id=1&event_type=click", "ymid=1&zone_id=17&event_type=click", another},
		{"a copy where the ymid repeats, in another order", carom.YMIDUser, "ymid=u&event_type=click&a=1", "a=1&event_type=click&ymid=u", same},
		{"anything else differs where the ymid repeats", carom.YMIDUser, "ymid=u&event_type=click&a=1", "ymid=u&event_type=click&a=2", another},
		{"the same in a session source", carom.YMIDSession, "ymid=u&event_type=click&a=1", "ymid=u&event_type=click&a=2", another},
		{"a ymid that is the telegram_id repeats", carom.YMIDView, "ymid=4&tgid=4&event_type=click&a=1", "ymid=4&tgid=4&event_type=click&a=2", another},
		{"an absent ymid repeats", carom.YMIDView, "tgid=4&event_type=click", "tgid=4&event_type=click", same},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testSource()
			s.YMID = tt.kind
			b := mustBind(t, s)
			x, y := b.Judge(get(tt.first), proven).Key, b.Judge(get(tt.then), proven).Key
			got := another
			if x.Sum == y.Sum {
				if got = same; x.Check != y.Check {
					got = clash
				}
			}
			if got != tt.want {
				t.Errorf("%q then %q is %s, want %s", tt.first, tt.then, got, tt.want)
			}
		})
	}
}

func TestKeysAreScopedToTheSource(t *testing.T) {
	other := testSource()
	other.Name = "second"
	for _, query := range []string{ok, "telegram_id=42&event_type=click"} {
		if mustBind(t, testSource()).Judge(get(query), proven).Key.Sum == mustBind(t, other).Judge(get(query), proven).Key.Sum {
			t.Errorf("two sources share the key of %q", query)
		}
	}
}

func TestKeyWindows(t *testing.T) {
	s := testSource()
	s.DedupeWindow, s.RepeatWindow = time.Hour, time.Minute
	b := mustBind(t, s)
	repeat := b.Judge(get("telegram_id=42&event_type=click&price=1"), proven).Key
	if got := b.Judge(get(ok), proven).Key.Window; got != time.Hour {
		t.Errorf("window of a view = %v, want the source's dedupe window", got)
	}
	if repeat.Window != time.Minute || repeat.Check != 0 {
		t.Errorf("key of a repeating ymid = %+v, want the source's repeat window and no check", repeat)
	}
}

func TestRepeatKeyLeavesStaticParametersOut(t *testing.T) {
	s := testSource()
	s.YMID = carom.YMIDUser
	b, err := mustProfiles(t)["monetag"].Bind(s, map[string]string{"u": "ymid", "e": "event_type"}, []string{"v"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if b.Judge(get("u=1&e=click&v=1"), proven).Key != b.Judge(get("v=2&u=1&e=click"), proven).Key {
		t.Error("a static parameter is part of the repeat key")
	}
}

func TestReportedKey(t *testing.T) {
	s := testSource()
	key := func(change func(*carom.Event)) carom.DedupeKey {
		e := carom.Event{ExternalID: "x1", YMID: "v1", TelegramID: "42", Price: carom.Price{Nanos: 5, Set: true}}
		change(&e)
		return ReportedKey(&s, &e)
	}
	base := key(func(*carom.Event) {})
	if base.Window != carom.DefaultDedupeWindow || base.Sum != carom.SumOf("api", "game/main", "x1") {
		t.Errorf("ReportedKey() = %+v, want the tuple of source and id over 30 days", base)
	}
	if got := key(func(e *carom.Event) { e.RequestVar = "spot" }); got != base {
		t.Errorf("another request_var changes the key to %+v", got)
	}
	if got := key(func(e *carom.Event) { e.Price.Nanos++ }); got.Sum != base.Sum || got.Check == base.Check {
		t.Errorf("another price gives %+v beside %+v, want the same sum and another check", got, base)
	}
	if got := key(func(e *carom.Event) { e.TelegramID = "43" }); got.Sum != base.Sum || got.Check == base.Check {
		t.Errorf("another user gives %+v beside %+v, want the same sum and another check", got, base)
	}
	if got := key(func(e *carom.Event) { e.ExternalID = "x2" }); got.Sum == base.Sum {
		t.Error("another id has the same sum")
	}
}
