package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"carom"
)

// weekHours is how much of the past a source's habits are learned from.
const weekHours = 7 * 24

// rhythm is how many postbacks that could be believed a source received, hour by hour.
type rhythm struct {
	From  time.Time // start of the first hour
	Hours []int64
	Last  time.Time // start of the minute in which the last one came; of the hour, when that is longer ago than an hour
}

// Where a silence begins to be unusual: see patience.
const (
	learnHours    = 24               // so long must a source have been heard of
	learnActive   = 12               // in so many of these hours
	leastPatience = 30 * time.Minute // for the busiest source
	mostPatience  = 6 * time.Hour    // for one that has never paused
	enoughMissed  = 20               // so many would have come at the quietest hour's rate: chance alone does not leave out as many
)

// patience is how long a silence of the source must be to be unusual; zero while too little is known.
//
// A source that has paused before, every night or over a weekend, is waited for twice as long as its longest pause. One that
// never paused is waited for until it would have sent twenty even in its quietest hour.
func (r rhythm) patience() time.Duration {
	firstHour, lastHour, active := -1, -1, 0
	for i, n := range r.Hours {
		if n == 0 {
			continue
		}
		if active++; firstHour < 0 {
			firstHour = i
		}
		lastHour = i
	}
	if active < learnActive || lastHour-firstHour < learnHours {
		return 0
	}
	pause, longest, quietest := 0, 0, r.Hours[firstHour+1]
	for _, n := range r.Hours[firstHour+1 : lastHour] { // the first and the last hour may be cut
		if n == 0 {
			pause++
		} else {
			pause = 0
		}
		longest, quietest = max(longest, pause), min(quietest, n)
	}
	if longest > 0 {
		return time.Duration(2*(longest+1)) * time.Hour
	}
	return min(max(enoughMissed*time.Hour/time.Duration(max(quietest, 1)), leastPatience), mostPatience)
}

// perHour is what came in an hour on average, between the first and the last hour in which something came.
func (r rhythm) perHour() int64 {
	var sum, hours int64
	for _, n := range r.Hours {
		if n > 0 || sum > 0 {
			hours++
		}
		sum += n
	}
	return sum / max(hours, 1)
}

// silentItems tells of a source that used to hear something and no longer does. While nothing can be stored, nothing is
// counted either; and what came while the server was down is the network's to repeat.
func silentItems(f *facts, src *carom.Source) []Item {
	r, known := f.Rhythms[src.ID()]
	patience := r.patience()
	if !known || patience == 0 || r.Last.IsZero() || !f.Trouble.Since.IsZero() {
		return nil
	}
	last := r.Last
	if f.Now.Sub(last) > time.Hour {
		last = last.Add(time.Hour) // only the hour is known
	}
	from := last
	if f.Started.After(from) {
		from = f.Started
	}
	if f.Now.Sub(from) <= patience {
		return nil
	}
	it := Item{
		Kind: KindSourceSilent, Severity: Attention, Subject: "source " + src.ID(), Since: last.UTC(), Fault: Network,
		What:    "nothing comes any more, and it never paused as long in the last seven days",
		HowMuch: fmt.Sprintf("silent for %s; before that about %d an hour came", rough(f.Now.Sub(last)), r.perHour()),
		Next: "see whether the network still counts views, and whether the URL entered there is still this one; what proves nothing shows here: " +
			"carom show --unverified --app " + src.App + " --source " + src.Name,
	}
	switch src.Profile {
	case carom.ProfileSDK:
		it.Fault = Configuration
		it.Next = "see whether the app still shows ads, and what its page is answered: carom_ad_requests_total and carom_beacons_total in /metrics tell refusals"
	case carom.ProfileAPI:
		it.Fault = Configuration
		it.Next = "see whether your server still reports, and what it is answered: carom show --app " + src.App + " --source " + src.Name
	}
	return []Item{it}
}

// rough writes a duration for a person: hours and minutes, or minutes alone.
func rough(d time.Duration) string {
	d = d.Truncate(time.Minute)
	if d < time.Hour {
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

// weekKept is how long what was read of the last seven days is used again: it is the largest of the status's questions, and
// what came since is in the counts of the day.
const weekKept = 10 * time.Minute

// week is what was read of the last seven days, for the callers who see one app or all.
type week struct {
	read    time.Time
	rhythms map[string]rhythm
}

// believed says whether a count is of postbacks that proved who sent them.
func believed(c carom.Count) bool {
	return c.N > 0 && !strings.HasPrefix(c.Outcome, carom.OutcomeUnverified)
}

// rhythms learns how each source is heard of, and which were heard of at all.
func (s *service) rhythms(ctx context.Context, app string, f *facts) error {
	known, err := s.readWeek(ctx, app, f.Now)
	if err != nil {
		return err
	}
	f.Heard, f.Rhythms = make(map[string]bool, len(f.Objects.Sources)), make(map[string]rhythm, len(f.Objects.Sources))
	for i := range f.Objects.Sources {
		id := f.Objects.Sources[i].ID()
		if r, ok := known[id]; ok {
			f.Rhythms[id], f.Heard[id] = r, true
		}
	}
	for _, counts := range [][]carom.Count{f.Day, f.Hour} {
		for _, c := range counts {
			id := c.App + "/" + c.Source
			if !believed(c) {
				continue
			}
			r := f.Rhythms[id]
			if c.At.After(r.Last) {
				r.Last = c.At
			}
			f.Rhythms[id], f.Heard[id] = r, true
		}
	}
	return nil
}

// readWeek reads the hours of the last seven days, or uses again what was read a short time ago.
func (s *service) readWeek(ctx context.Context, app string, now time.Time) (map[string]rhythm, error) {
	s.weekMu.Lock()
	defer s.weekMu.Unlock()
	if w, ok := s.weeks[app]; ok && now.Sub(w.read).Abs() < weekKept {
		return w.rhythms, nil
	}
	from := now.Add(-weekHours * time.Hour).Truncate(time.Hour)
	f := carom.ReportFilter{App: app, By: []string{"app", "source"}}
	for i := range weekHours + 2 {
		f.Cuts = append(f.Cuts, from.Add(time.Duration(i)*time.Hour))
	}
	counts, err := s.Store.ReportCounts(ctx, f)
	if err != nil {
		return nil, err
	}
	rhythms := map[string]rhythm{}
	for _, c := range counts {
		n, hour := c.Accepted+c.Held+c.Duplicates+c.Refused, int(c.At.Sub(from)/time.Hour) // all that proved who sent it
		if n == 0 || hour < 0 || hour > weekHours {
			continue
		}
		r, ok := rhythms[c.App+"/"+c.Source]
		if !ok {
			r = rhythm{From: from, Hours: make([]int64, weekHours+1)}
		}
		r.Hours[hour] += n
		if c.At.After(r.Last) {
			r.Last = c.At
		}
		rhythms[c.App+"/"+c.Source] = r
	}
	if s.weeks == nil {
		s.weeks = map[string]week{}
	}
	s.weeks[app] = week{now, rhythms}
	return rhythms, nil
}
