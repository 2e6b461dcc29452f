package store

import (
	"hash/fnv"
	"strings"

	"carom"
	"carom/internal/tables"
)

// rewardFirst is what the keys remember of a reward.
func rewardFirst(r *tables.RewardRow, seq uint32) first {
	return first{seq: seq, at: uint32(r.At.Unix()), check: ruleHash(r.App + "/" + r.Rule)}
}

// ruleHash tells rules apart in most cases; rows are compared in full afterwards.
func ruleHash(rule string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(rule)) // never fails
	return h.Sum32()
}

func addSearch(keys *openKeys, r *tables.RewardRow, seq uint32) {
	var view, tx string
	if r.View != ([16]byte{}) {
		view = string(r.View[:])
	}
	if r.Tx != ([16]byte{}) {
		tx = string(r.Tx[:])
	}
	keys.addSearch(view, userSearch(r.App, r.User), tx, seq)
}

const (
	insertReward  = `INSERT INTO rewards (` + tables.RewardColumns + `) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	selectReward  = `SELECT ` + tables.RewardColumns + ` FROM rewards WHERE no = ?`
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

// placeOf is how the place of an event is stored, and refOf its inverse.
func placeOf(ref carom.Ref) int64 { return int64(ref.Uint64()) }

func refOf(place int64) carom.Ref { return carom.RefOf(uint64(place)) }
