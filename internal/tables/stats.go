package tables

import "sync/atomic"

// Stats are counters of a store since it was opened.
type Stats struct {
	Commits     atomic.Int64
	Syncs       atomic.Int64 // commits and checkpoints that waited for the disk
	Failed      atomic.Int64 // commits that failed and were rolled back
	Events      atomic.Int64
	Duplicates  atomic.Int64
	Attempts    atomic.Int64
	Queued      atomic.Int64 // gauge: submissions waiting
	Checkpoints atomic.Int64 // of SQLite
}
