package main

import "context"

// lowRate is the rate, in events per second, at which a server has nothing to wait for but itself.
const lowRate = 500

// latency runs open loops: carom and the journal at half carom's saturating rate, carom and the forwarder at a low one.
func (r *rig) latency(ctx context.Context, rep *report, p *part) error {
	half, err := r.half(ctx, rep, p)
	if err != nil {
		return err
	}
	rep.set("half_per_s", half)
	steps := []string{"half", partJournal, "low", partForwarder}
	found := map[string][]measurement{}
	for round := range r.Rounds {
		for _, step := range rotated(steps, round) {
			name, rate := "carom", float64(lowRate)
			switch step {
			case "half":
				rate = half
			case partJournal:
				name, rate = partJournal, half
			case partForwarder:
				name = partForwarder
			}
			m, err := r.measureFresh(ctx, name, plan{rate: rate, warmUp: r.WarmUp, window: r.Window}, p)
			if err != nil {
				return err
			}
			m.Round = round + 1
			p.add(m)
			found[step] = append(found[step], m)
			r.say("  round %d, %-9s at %5.0f/s  accept p50 %.2f p99 %.2f ms  end to end p50 %.2f p99 %.2f ms  pacer's lag %.1f ms",
				m.Round, name, rate, m.Accept.P50, m.Accept.P99, m.EndToEnd.P50, m.EndToEnd.P99, m.Lag)
		}
	}
	e2e50 := func(m measurement) float64 { return m.EndToEnd.P50 }
	e2e99 := func(m measurement) float64 { return m.EndToEnd.P99 }
	accept99 := func(m measurement) float64 { return m.Accept.P99 }
	rep.setMedian("accept_p99_ms_half", found["half"], "carom", accept99)
	rep.setMedian("e2e_p99_ms_half", found["half"], "carom", e2e99)
	rep.setMedian("journal_accept_p99_ms_half", found[partJournal], partJournal, accept99)
	rep.setMedian("journal_e2e_p99_ms_half", found[partJournal], partJournal, e2e99)
	rep.setMedian("e2e_p50_ms_500", found["low"], "carom", e2e50)
	rep.setMedian(figE2E500, found["low"], "carom", e2e99)
	rep.setMedian(figForwarder500, found[partForwarder], partForwarder, e2e99)
	return nil
}

// half returns half of carom's saturating rate: from the ratio part when it ran just before, else from a measurement.
func (r *rig) half(ctx context.Context, rep *report, p *part) (float64, error) {
	if v, ok := rep.get(figCarom); ok && r.ran(ratioPart) {
		return v / 2, nil
	}
	m, err := r.measureFresh(ctx, "carom", plan{warmUp: r.WarmUp, window: r.Window}, p)
	if err != nil {
		return 0, err
	}
	p.add(m)
	return m.Delivered / 2, nil
}
