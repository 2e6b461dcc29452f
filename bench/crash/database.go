package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"carom/bench/pgbooks"
	"carom/internal/pgtest"
)

// nodeUp is the longest time from ready to kill with a database: a node that follows a killed one makes no attempts before the
// lease of that has ended, 10 s later, so some have to live for longer.
const nodeUp = 14 * time.Second

// useDatabase starts a database for the server, which becomes a node. Its data lie in memory where there is room: what
// matters here outlives a process that is killed, not a machine.
func (h *harness) useDatabase() error {
	db, err := pgtest.Start(pgtest.Options{})
	if err != nil {
		return err
	}
	h.database = db
	h.setup.Env = append(h.setup.Env, "CAROM_DATABASE="+db.URL("carom"))
	h.setup.Args = append(h.setup.Args, "--node-name=crash")
	return nil
}

// killDatabase ends the database's processes under the running server, leaves it away for up to two seconds, and starts it again.
func (h *harness) killDatabase(ctx context.Context, f *facts) error {
	if err := h.database.Kill(); err != nil {
		return err
	}
	f.kills = append(f.kills, time.Now())
	f.databaseKills++
	away := pause(ctx, time.Duration(h.rng.Int64N(int64(2*time.Second))))
	return errors.Join(away, h.database.Restart(pgtest.Immediate))
}

// readDatabase reads the books of a node that was stopped. What it said of its ledger before is in ledger.
func (h *harness) readDatabase(ctx context.Context) (b books, err error) {
	stored, err := pgbooks.Read(ctx, h.database.URL("carom"))
	if err != nil {
		return b, err
	}
	if stored.Late > 0 {
		return b, fmt.Errorf("%d nodes have ended and nobody has taken over what they left", stored.Late)
	}
	b.refused = stored.Refused
	for _, e := range stored.Events {
		out := bookEvent{key: key{e.YMID, e.Zone, string(e.Type), string(e.Value)}, place: e.Place}
		for _, d := range e.Deliveries {
			state := d.State
			switch state {
			case pgbooks.Unexplained:
				state = stateUnexplained
			case pgbooks.Twice:
				state = stateTwice
			}
			if d.Reward {
				out.rewards = append(out.rewards, state)
			} else {
				out.deliveries = append(out.deliveries, state)
			}
		}
		b.events = append(b.events, out)
	}
	for _, r := range stored.Rewards {
		b.rewards = append(b.rewards, bookReward{id: r.ID, view: viewKey{r.YMID, r.Zone}, user: r.User, amount: r.Amount, state: r.State})
	}
	return b, nil
}
