package main

import (
	"context"
	"os"

	"carom/bench/proc"
)

// rewardsTarget is what a server is called that pays for every event.
const rewardsTarget = "rewards"

// rewardsFile configures a server whose one rule pays for every event, under a cap for each user and day. The sink hears of
// the reward in place of the event, so that there is one delivery as in [objectsFile].
func rewardsFile(secret, sink string) string {
	return `apps:
  bench:
    currencies: { coins: 0 }
    rules:
      watch:
        price: 5 coins
        caps: [{ per: [user, day], rewards: 1000 }]
    sources:
      monetag: { profile: monetag, ymid: view, secret: "` + secret + `" }
    endpoints:
      sink:
        sends: rewards
        url: "http://` + sink + `/postback?ymid={ymid}&event={event_type}&zone={zone_id}&id={reward_id}&state={reward_state}&amount={reward_amount}&user={reward_user}&d={delivery_id}"
        allow_private: true
`
}

// rewards saturates carom without rules, and carom with a rule, a view, a reward, a ledger line, a balance and a counter for
// each event, in turn.
func (r *rig) rewards(ctx context.Context, rep *report, p *part) error {
	var ms []measurement
	for round := range r.Rounds {
		for _, name := range rotated([]string{"carom", rewardsTarget}, round) {
			m, err := r.measurePaying(ctx, name, p)
			if err != nil {
				return err
			}
			m.Round = round + 1
			p.add(m)
			ms = append(ms, m)
			r.say("  round %d, %-9s  %6.0f answered/s  %6.0f delivered/s  %.4f CPU s per 1,000  %.0f MB", m.Round, name, m.Accepted, m.Delivered,
				m.CPUPer1000, m.PeakRSS)
		}
	}
	delivered := func(m measurement) float64 { return m.Delivered }
	rep.setMedian("plain_per_s", ms, "carom", delivered)
	rep.setMedian("rewards_per_s", ms, rewardsTarget, delivered)
	rep.set("rewards_ratio", rep.figures["rewards_per_s"]/rep.figures["plain_per_s"])
	rep.setMedian("rewards_rss_mb", ms, rewardsTarget, func(m measurement) float64 { return m.PeakRSS })
	return nil
}

// measurePaying measures a fresh server, which pays if its name says so.
func (r *rig) measurePaying(ctx context.Context, name string, p *part) (m measurement, err error) {
	pl := plan{warmUp: r.WarmUp, window: r.Window}
	if name != rewardsTarget {
		return r.measureFresh(ctx, name, pl, p)
	}
	dir, err := r.fresh()
	if err != nil {
		return m, err
	}
	secret := proc.NewSecret()
	t, err := r.startWith(ctx, dir, rewardsFile(secret, r.sink.Addr))
	if err != nil {
		return m, err
	}
	t.name, t.sends, t.traffic.Paths = name, true, []string{postback(secret, zoneMain)}
	m, err = r.measure(ctx, t, pl)
	if stopErr := t.process.Stop(stopGrace); stopErr != nil {
		p.note("%v", stopErr)
	}
	if err != nil {
		return m, err
	}
	return m, os.RemoveAll(dir)
}
