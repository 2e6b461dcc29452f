package store

import (
	"database/sql/driver"
	"hash/fnv"
	"strings"
	"time"

	"carom"
)

// rewardRow is a reward as it is stored.
type rewardRow struct {
	carom.Reward
	no         int64
	life       carom.Incarnation
	event      carom.Ref
	additional bool
	view, tx   [16]byte // zero: none
	counted    counted
}

// claims are the sums under which a reward is found again by what must not earn twice. A reward of a rule that is not
// additional stands in the way of all others, so it claims the view and the transaction themselves.
func (r *rewardRow) claims() [][16]byte {
	var out [][16]byte
	for _, sum := range [...][16]byte{r.view, r.tx} {
		switch {
		case sum == [16]byte{}:
		case r.additional:
			out = append(out, ownSum(sum, r.App+"/"+r.Rule))
		default:
			out = append(out, sum)
		}
	}
	return out
}

// ownSum is what a rule that is additional claims of a view or a transaction.
func ownSum(sum [16]byte, rule string) [16]byte {
	return carom.SumOf("additional", rule, string(sum[:]))
}

// first is what the keys remember of the reward.
func (r *rewardRow) first(seq uint32) first {
	return first{seq: seq, at: uint32(r.At.Unix()), check: ruleHash(r.App + "/" + r.Rule)}
}

// ruleHash tells rules apart in most cases; rows are compared in full afterwards.
func ruleHash(rule string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(rule)) // never fails
	return h.Sum32()
}

func (r *rewardRow) addSearch(keys *openKeys, seq uint32) {
	var view, tx string
	if r.view != ([16]byte{}) {
		view = string(r.view[:])
	}
	if r.tx != ([16]byte{}) {
		tx = string(r.tx[:])
	}
	keys.addSearch(view, userSearch(r.App, r.User), tx, seq)
}

// rewardWidth is how many columns rewardColumns are.
const rewardWidth = 24

const (
	rewardColumns = `no, life, at, app, rule, additional, user, currency, amount, state, until, changed, why, event, source, network,
		view, tx, view_id, ymid, zone_id, request_var, external_id, counted`
	insertReward  = `INSERT INTO rewards (` + rewardColumns + `) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	selectReward  = `SELECT ` + rewardColumns + ` FROM rewards WHERE no = ?`
	changeReward  = `UPDATE rewards SET state = ?, until = 0, changed = ?, why = ? WHERE no = ?`
	selectCounter = `SELECT rewards, amount FROM counters WHERE scope = ? AND user = ? AND day = ?`
	selectLast    = `SELECT at FROM last_grants WHERE rule = ? AND user = ?`
	upsertLast    = `INSERT INTO last_grants (rule, user, at) VALUES (?1, ?2, ?3) ON CONFLICT (rule, user) DO UPDATE SET at = ?3`
)

// upsertBalances and upsertCounters add n rows to what is there.
func upsertBalances(n int) string {
	return `INSERT INTO balances (app, user, currency, units, nanos, changed) VALUES ` + rowsOf("(?,?,?,?,?,?)", n) + `
		ON CONFLICT (app, user, currency) DO UPDATE SET units = units + excluded.units, nanos = nanos + excluded.nanos, changed = max(changed, excluded.changed)`
}

// insertLines appends n lines to the ledger.
func insertLines(n int) string {
	return `INSERT INTO ledger (reward, n, at, app, user, currency, amount, event, why, late) VALUES ` + rowsOf("(?,?,?,?,?,?,?,?,?,?)", n)
}

func upsertCounters(n int) string {
	return `INSERT INTO counters (scope, user, day, rewards, amount) VALUES ` + rowsOf("(?,?,?,?,?)", n) + `
		ON CONFLICT (scope, user, day) DO UPDATE SET rewards = rewards + excluded.rewards, amount = amount + excluded.amount`
}

func rowsOf(row string, n int) string { return strings.TrimSuffix(strings.Repeat(row+",", n), ",") }

func (r *rewardRow) values() []driver.Value {
	return []driver.Value{r.no, int64(r.life), r.At.UnixMilli(), r.App, r.Rule, truth(r.additional), r.User, r.Currency, int64(r.Amount),
		string(r.State), millis(r.Until), r.Changed.UnixMilli(), r.Why, int64(r.event.Uint64()), r.Source, r.Network,
		sumBlob(r.view), sumBlob(r.tx), string(r.View), r.YMID, r.ZoneID, r.RequestVar, r.Transaction, string(r.counted)}
}

// readReward reads a row of rewardColumns.
func readReward(v []driver.Value) *rewardRow {
	text := func(i int) string { s, _ := v[i].(string); return s }
	number := func(i int) int64 { n, _ := v[i].(int64); return n }
	r := &rewardRow{no: number(0), life: carom.Incarnation(number(1)), additional: number(5) != 0,
		event: carom.RefOf(uint64(number(13))), view: sumOf(v[16]), tx: sumOf(v[17])}
	r.Reward = carom.Reward{
		ID: carom.NewRewardID(r.life, r.no), At: time.UnixMilli(number(2)).UTC(), App: text(3), Rule: text(4), User: text(6),
		Currency: text(7), Amount: carom.Nanos(number(8)), State: carom.RewardState(text(9)), Until: instant(number(10)),
		Changed: instant(number(11)), Why: text(12), Event: carom.NewEventID(r.life, r.event), Source: text(14), Network: text(15),
		View: carom.ViewID(text(18)), YMID: text(19), ZoneID: text(20), RequestVar: text(21), Transaction: text(22),
	}
	return r
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// millis is how a moment that may be absent is stored, and instant its inverse.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
