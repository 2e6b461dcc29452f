package postgres

import (
	"strings"

	"carom/internal/tables"
)

// The statements of a commit, in the order in which it runs them. Every node locks rows in this order of tables, and those of one
// table in the order of their keys, so that no two commits wait for one another.

// nowMS is the database's clock. Leases run by it alone.
const nowMS = `CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)`

var (
	// fence is the first statement of every commit: it finds no row when the node's lease has ended, and keeps it from ending
	// before the commit does.
	//
	// Its answer is what a node follows at every beat; the last three columns are for [Store.Share].
	fence = one("fence", `UPDATE nodes n SET seen_at = `+nowMS+`, commits = $3, mark = $4, events = $5, attempts = $6, rewards = $7, ahead_ms = $8
		FROM (SELECT count(*) AS nodes, count(*) FILTER (WHERE no < $1) AS rank, min(seen_at) FILTER (WHERE no <> $1) AS slowest
			FROM nodes WHERE ended_at = 0) p
		WHERE n.no = $1 AND n.life = $2 AND n.ended_at = 0
		RETURNING `+nowMS+`, (SELECT max(bucket) FROM buckets WHERE opened_at > 0), (SELECT max(opened_at) FROM buckets),
			(SELECT min(bucket) FROM buckets WHERE dropped = 0), (SELECT value FROM meta WHERE key = 'objects_version'),
			(SELECT value FROM meta WHERE key = 'own_ymids'), p.nodes, p.rank, p.slowest`,
		kindInt4, kindInt8, kindInt8, kindInt8, kindInt8, kindInt8, kindInt8, kindInt8)

	// claimKeys claims dedupe keys, each for a place, and returns to whom each belongs. One that has expired passes to who asks.
	// The update that changes nothing makes it return the rows of others as well, as they are when their commits have ended.
	claimKeys = many("claim_keys", "sum uuid, place bigint, at integer, until integer, agreement integer",
		`INSERT INTO keys AS k ({names}) SELECT * FROM {rows}
		ON CONFLICT (sum) DO UPDATE SET
			place = CASE WHEN `+keyExpired+` THEN excluded.place ELSE k.place END,
			agreement = CASE WHEN `+keyExpired+` THEN excluded.agreement ELSE k.agreement END,
			until = CASE WHEN `+keyExpired+` THEN excluded.until ELSE k.until END,
			at = CASE WHEN `+keyExpired+` THEN excluded.at ELSE k.at END
		RETURNING sum, place, at, agreement`)

	// lockJoins locks the views whose ymids repeat that events of the batch may join, and returns them.
	lockJoins = many("lock_joins", "sum uuid, at bigint", `INSERT INTO joins AS j (sum, at, views) SELECT sum, at, '' FROM {rows}
		ON CONFLICT (sum) DO UPDATE SET at = j.at RETURNING sum, views`)

	// lockClaims locks what decides whether a view or a transaction may earn, and returns it; so do the two behind it for caps and
	// cooldowns.
	lockClaims = many("lock_claims", "sum uuid", `INSERT INTO claims AS c (sum, reward, rule, beside, reversed) SELECT sum, 0, '', '', 0 FROM {rows}
		ON CONFLICT (sum) DO UPDATE SET reward = c.reward RETURNING sum, reward, rule, beside, reversed`)
	lockCounters = many("lock_counters", `scope text, "user" text, day bigint`, `INSERT INTO counters AS c ({names}, rewards, amount) SELECT r.*, 0, 0 FROM {rows}
		ON CONFLICT (scope, "user", day) DO UPDATE SET rewards = c.rewards RETURNING scope, "user", day, rewards, amount`)
	lockLasts = many("lock_lasts", `rule text, "user" text`, `INSERT INTO last_grants AS l ({names}, at) SELECT r.*, 0 FROM {rows}
		ON CONFLICT (rule, "user") DO UPDATE SET at = l.at RETURNING rule, "user", at`)

	// rewardByNumber and rewardsBySum are for what changes rewards that are there, which is rare.
	rewardByNumber = one("reward_by_number", `SELECT `+tables.RewardColumns+` FROM rewards WHERE no = $1 FOR UPDATE`, kindInt8)
	rewardsBySum   = one("rewards_by_sum", `SELECT `+tables.RewardColumns+` FROM rewards WHERE view = $1 OR tx = $1 ORDER BY no FOR UPDATE`, kindBytes)

	// giveKeys hands keys to another place of this commit, returnKeys takes back what was claimed for nothing.
	giveKeys   = many("give_keys", "sum uuid, place bigint, at integer, until integer, agreement integer", `UPDATE keys k SET place = r.place, at = r.at, until = r.until, agreement = r.agreement FROM {rows} WHERE k.sum = r.sum`)
	returnKeys = many("return_keys", "sum uuid", `DELETE FROM keys k USING {rows} WHERE k.sum = r.sum`)

	insertEvents = many("events", `place bigint, at bigint, app text, source text, network text, event_type text, value text, ymid text, zone_id text,
		sub_zone_id text, request_var text, telegram_id text, price bigint, external_id text, fields text, flags integer, held text, strength text,
		endpoints text, method text, path text, query text, content_type text, headers text, body bytea, client text, user_id text, view text,
		decided text, origin text`, `INSERT INTO events ({names}) SELECT * FROM {rows}`)

	insertRefused = many("refused", `place bigint, at bigint, app text, source text, network text, reason text, detail text, method text, path text,
		query text, content_type text, headers text, body bytea, client text`, `INSERT INTO refused ({names}) SELECT * FROM {rows}`)

	insertOutcomes = many("outcomes", outcomeColumns, `INSERT INTO outcomes ({names}) SELECT * FROM {rows}`)

	// replaceOutcomes takes the place of insertOutcomes when an attempt is there already. Looking for one first, as it does, costs as
	// much as inserting.
	replaceOutcomes = many("replace_outcomes", outcomeColumns, `INSERT INTO outcomes ({names}) SELECT * FROM {rows}
		ON CONFLICT (place, ordinal, attempt) DO UPDATE SET endpoint = excluded.endpoint, at = excluded.at, took_us = excluded.took_us,
			state = excluded.state, due_at = excluded.due_at, reason = excluded.reason, flags = excluded.flags, method = excluded.method,
			url = excluded.url, sent = excluded.sent, status = excluded.status, answer = excluded.answer, node = excluded.node`)

	putDue = many("put_due", `endpoint integer, place bigint, ordinal smallint, due_at bigint, scheduled_at bigint, accepted_at bigint, attempts integer,
		step integer, sending integer, node integer`, `INSERT INTO due ({names}) SELECT * FROM {rows}
		ON CONFLICT (endpoint, place, ordinal) DO UPDATE SET due_at = excluded.due_at, scheduled_at = excluded.scheduled_at,
			accepted_at = excluded.accepted_at, attempts = excluded.attempts, step = excluded.step, sending = excluded.sending, node = excluded.node`)

	deleteDue = many("delete_due", "endpoint integer, place bigint, ordinal smallint",
		`DELETE FROM due d USING {rows} WHERE d.endpoint = r.endpoint AND d.place = r.place AND d.ordinal = r.ordinal`)

	putJoins  = many("put_joins", "sum uuid, at bigint, views text", `UPDATE joins j SET at = r.at, views = r.views FROM {rows} WHERE j.sum = r.sum`)
	putClaims = many("put_claims", "sum uuid, reward bigint, rule text, beside text, reversed integer",
		`UPDATE claims c SET reward = r.reward, rule = r.rule, beside = r.beside, reversed = r.reversed FROM {rows} WHERE c.sum = r.sum`)
	// dropJoins and dropClaims remove rows that were made to be locked and hold nothing.
	dropJoins  = many("drop_joins", "sum uuid", `DELETE FROM joins j USING {rows} WHERE j.sum = r.sum`)
	dropClaims = many("drop_claims", "sum uuid", `DELETE FROM claims c USING {rows} WHERE c.sum = r.sum`)

	insertRewards = many("rewards", `no bigint, life bigint, at bigint, app text, rule text, additional bigint, "user" text, currency text, amount bigint, state text,
		until bigint, changed bigint, why text, event bigint, source text, network text, view bytea, tx bytea, view_id text, ymid text, zone_id text,
		request_var text, external_id text, counted text`, `INSERT INTO rewards ({names}) SELECT * FROM {rows}`)
	changeRewards = many("change_rewards", "no bigint, state text, until bigint, changed bigint, why text",
		`UPDATE rewards w SET state = r.state, until = r.until, changed = r.changed, why = r.why FROM {rows} WHERE w.no = r.no`)
	insertLines = many("lines", `reward bigint, n bigint, at bigint, app text, "user" text, currency text, amount bigint, event text, why text, late bigint`,
		`INSERT INTO ledger ({names}) SELECT * FROM {rows}`)
	putCounters = many("put_counters", `scope text, "user" text, day bigint, rewards bigint, amount bigint`,
		`UPDATE counters c SET rewards = r.rewards, amount = r.amount FROM {rows} WHERE c.scope = r.scope AND c."user" = r."user" AND c.day = r.day`)
	putLasts    = many("put_lasts", `rule text, "user" text, at bigint`, `UPDATE last_grants l SET at = r.at FROM {rows} WHERE l.rule = r.rule AND l."user" = r."user"`)
	addBalances = many("balances", `app text, "user" text, currency text, units bigint, nanos bigint, changed bigint`, `INSERT INTO balances AS b ({names}) SELECT * FROM {rows}
		ON CONFLICT (app, "user", currency) DO UPDATE SET units = b.units + excluded.units, nanos = b.nanos + excluded.nanos, changed = greatest(b.changed, excluded.changed)`)

	addCounts = many("counts", `minute bigint, app text, source text, zone_id text, request_var text, event_type text, value text, outcome text, node integer,
		n bigint, price_units bigint, price_nanos bigint`, `INSERT INTO counts AS c ({names}) SELECT * FROM {rows}
		ON CONFLICT (minute, app, source, zone_id, request_var, event_type, value, outcome, node)
		DO UPDATE SET n = c.n + excluded.n, price_units = c.price_units + excluded.price_units, price_nanos = c.price_nanos + excluded.price_nanos`)

	addQuarterCounts = many("quarter_counts", `quarter bigint, app text, source text, zone_id text, event_type text, value text, outcome text, node integer,
		n bigint, price_units bigint, price_nanos bigint`, `INSERT INTO quarter_counts AS c ({names}) SELECT * FROM {rows}
		ON CONFLICT (quarter, app, source, zone_id, event_type, value, outcome, node)
		DO UPDATE SET n = c.n + excluded.n, price_units = c.price_units + excluded.price_units, price_nanos = c.price_nanos + excluded.price_nanos`)

	addDeliveryCounts = many("delivery_counts", "minute bigint, endpoint bigint, outcome text, node integer, n bigint",
		`INSERT INTO delivery_counts AS c ({names}) SELECT * FROM {rows} ON CONFLICT (minute, endpoint, outcome, node) DO UPDATE SET n = c.n + excluded.n`)

	addSourceCounts = addSums("source_counts", "app text, source text, event_type text, currency text", tables.MeasureColumns()...)
	addSpotCounts   = addSums("spot_counts", "app text, zone_id text, sub_zone_id text, request_var text, currency text", tables.MeasureColumns()...)
	addDetailCounts = addSums("detail_counts", "app text, source text, kind text, detail text", "n")

	// returnDue lets go of what this node has claimed. If an attempt was about to begin, none was made.
	returnDue = many("return_due", "endpoint integer, place bigint, ordinal smallint, node integer",
		`UPDATE due d SET node = 0, sending = 0 FROM {rows} WHERE d.endpoint = r.endpoint AND d.place = r.place AND d.ordinal = r.ordinal AND d.node = r.node`)
)

// addSums makes the statement that adds rows of sums to a table, whose key is the span, the quarter, texts and the node.
func addSums(table, texts string, sums ...string) *statement {
	columns, key, add := "span bigint, quarter bigint, "+texts+", node integer", []string{"span", "quarter"}, make([]string, len(sums))
	for _, column := range strings.Split(texts, ", ") {
		key = append(key, strings.Fields(column)[0])
	}
	for i, column := range sums {
		columns += ", " + column + " bigint"
		add[i] = column + " = c." + column + " + excluded." + column
	}
	return many(table, columns, `INSERT INTO `+table+` AS c ({names}) SELECT * FROM {rows} ON CONFLICT (`+strings.Join(key, ", ")+`, node) DO UPDATE SET `+strings.Join(add, ", "))
}

const outcomeColumns = `place bigint, ordinal smallint, attempt integer, endpoint integer, at bigint, took_us bigint, state text,
	due_at bigint, reason text, flags integer, method text, url text, sent text, status integer, answer bytea, node integer`

// keyExpired is true when the event for which a key is asked came so long after the one that has it that it counts no more.
const keyExpired = `k.at + (excluded.until - excluded.at) <= excluded.at`

// statements are all that a link keeps prepared.
func statements() []*statement {
	return []*statement{begin, commit, rollback, fence, provenCommits, claimKeys, giveKeys, returnKeys, insertEvents, insertRefused, insertOutcomes, replaceOutcomes, putDue, deleteDue,
		addCounts, addQuarterCounts, addDeliveryCounts, addSourceCounts, addSpotCounts, addDetailCounts, returnDue, lockJoins, lockClaims, lockCounters, lockLasts,
		rewardByNumber, rewardsBySum, putJoins, putClaims, dropJoins, dropClaims, insertRewards, changeRewards, insertLines, putCounters, putLasts, addBalances}
}
