package main

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
)

// assumptions are what nobody has measured, or what only the operator knows. Each is a flag.
type assumptions struct {
	Postbacks, Earn                     float64
	Retention, Dedupe                   float64 // days
	Headroom                            float64
	Sync                                float64 // ms
	NodeCores, PrimaryCores             float64
	Replicas                            float64
	Cache                               float64 // GB
	Log                                 float64 // MB/s
	Disk                                float64 // operations/s
	Space                               float64 // TB
	Connections, Buckets, BucketEvents  float64
	Checkpoint                          float64 // minutes
	DeliveryShare, RewardWork, RewardKB float64
	Exchange                            float64 // bytes
	CoreHour, GBMonth, GBTraffic        float64 // one currency
}

// assumption is one of them: its flag, what it is when nothing is said, and the least and the most that it may be.
type assumption struct {
	name        string
	value       *float64
	init        float64
	least, most float64
	unit, help  string
}

const anyNumber = 1e15

func (a *assumptions) list() []assumption {
	return []assumption{
		{"postbacks", &a.Postbacks, 1, 0, 1024, "", "postbacks that an event is owed, on average"},
		{"earn", &a.Earn, 0, 0, 1, "", "share of events that earn a reward"},
		{"retention-days", &a.Retention, 30, 1, 3650, "days", "setting retention"},
		{"dedupe-days", &a.Dedupe, 30, 0.001, 400, "days", "setting dedupe_window of the sources"},
		{"headroom", &a.Headroom, 0.5, 0, 0.95, "", "share of processors, log and disk operations that stays free, for rushes and for a node that is gone"},
		{"sync-ms", &a.Sync, 1, 0, 1000, "ms", "how much longer a commit waits than where it was measured: a replica that must have it, a slower disk"},
		{"node-cores", &a.NodeCores, 2, 0.1, 1024, "", "cores of a node"},
		{"primary-cores", &a.PrimaryCores, 64, 1, 4096, "", "most cores of a database server"},
		{"replicas", &a.Replicas, 1, 0, 16, "", "replicas of each primary, each as large as that"},
		{"cache-gb", &a.Cache, 256, 0, 65536, "GB", "memory of a database server for the index of dedupe keys"},
		{"log-mb", &a.Log, 200, 1, anyNumber, "MB/s", "most log that a primary writes and a replica replays, which is one process"},
		{"disk-ops", &a.Disk, 100_000, 100, anyNumber, "/s", "most operations of a database server's disks"},
		{"disk-tb", &a.Space, 32, 0.01, anyNumber, "TB", "most that a database server stores"},
		{"connections", &a.Connections, 1000, 22, anyNumber, "", "setting max_connections of PostgreSQL"},
		{"buckets", &a.Buckets, 3000, 32, anyNumber, "", "most time buckets: each is a partition of three tables, and a list over all of them locks six relations for each"},
		{"bucket-events", &a.BucketEvents, 4_000_000, 1000, 4_000_000, "", "setting bucket_events: 4,000,000 is the most"},
		{"checkpoint-minutes", &a.Checkpoint, 15, 0.5, 1440, "min", "setting checkpoint_timeout of PostgreSQL, with a max_wal_size that suffices"},
		{"delivery-share", &a.DeliveryShare, 0.5, 0, 1, "", "part of an event's work that is its one delivery's: what a further postback costs"},
		{"reward-work", &a.RewardWork, 1, 0, 100, "", "work of a reward, to that of an event with its delivery"},
		{"reward-kb", &a.RewardKB, 1, 0, 100, "KB", "what a reward and its ledger line take, for ever"},
		{"exchange-bytes", &a.Exchange, 1500, 0, 1e6, "B", "a postback with its headers and its answer, each way together"},
		{"core-hour", &a.CoreHour, 0.05, 0, anyNumber, "", "price of a core for an hour"},
		{"gb-month", &a.GBMonth, 0.1, 0, anyNumber, "", "price of a GB stored for a month"},
		{"gb-traffic", &a.GBTraffic, 0.05, 0, anyNumber, "", "price of a GB of traffic with senders and receivers, either way"},
	}
}

// bind makes each a flag.
func (a *assumptions) bind(f *flag.FlagSet) {
	for _, x := range a.list() {
		f.Float64Var(x.value, x.name, x.init, x.help)
	}
}

// check says which of them cannot be.
func (a *assumptions) check() error {
	var errs []error
	for _, x := range a.list() {
		if !(*x.value >= x.least && *x.value <= x.most) { // so that NaN is refused
			errs = append(errs, fmt.Errorf("-%s %v: it must be from %s to %s", x.name, *x.value, plain(x.least), plain(x.most)))
		}
	}
	if a.Buckets < a.Retention {
		errs = append(errs, fmt.Errorf("-buckets %v: a time bucket lasts a day at most, so that -retention-days %v takes as many", a.Buckets, a.Retention))
	}
	return errors.Join(errs...)
}

// plain writes a number as people do who write no exponents.
func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
