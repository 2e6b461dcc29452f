package main

import (
	"cmp"
	"math"
	"slices"
)

// What carom's store on PostgreSQL does, whatever was measured. A test compares these with its source.
const (
	maxBatch    = 1024   // events in a commit, of which a node makes one at a time
	maxOutcomes = 2048   // of attempts, in the same
	maxNode     = 32_767 // numbers of nodes, none of which is given out twice while a row names it
	connections = 11     // of a node, at most
	pageBytes   = 8192   // of PostgreSQL
)

// cost is what a commit costs by itself, and what each event in it adds.
type cost struct{ fixed, each float64 }

func (c cost) plus(fixed float64) cost  { return cost{c.fixed + fixed, c.each} }
func (c cost) times(work float64) cost  { return cost{c.fixed, c.each * work} }
func (c cost) of(batch float64) float64 { return c.fixed + c.each*batch }

// fit finds the cost by which a commit of n1 events costs y1 and one of n2 costs y2. It is not ok when the two are too much
// alike to tell, or when they contradict such a cost.
func fit(n1, y1, n2, y2 float64) (c cost, ok bool) {
	if math.Abs(n1-n2) < 0.1*max(n1, n2) {
		return cost{}, false
	}
	c.each = (y1 - y2) / (n1 - n2)
	c.fixed = y1 - c.each*n1
	// What is zero in truth may come out a little below for rounding.
	if c.fixed > -1e-9*y1 {
		c.fixed = max(c.fixed, 0)
	}
	return c, c.fixed >= 0 && c.each > 0
}

// model is fitted to the figures of one machine. Times are seconds, sizes bytes.
type model struct {
	node, database cost     // processor time
	commit         cost     // how long a commit takes
	oneLoad        []string // keys of the costs that could not be fitted at two loads: all is taken to be the events'

	log   float64 // for an event and its delivery, in a database whose keys are few
	image float64 // a whole page in the log

	event, outcome, key, keyIndex float64 // stored for each event: tables with their indexes; keyIndex is a part of key
	keys                          float64 // dedupe keys of an event

	folderRate, folderCPU float64 // of one machine with a data folder: saturated
	twoNodes              float64 // what two nodes deliver on one database, to one: only printed
	imageAssumed          bool    // image is a page, since the figures do not tell
}

// newModel fits the constants.
func newModel(f figures) model {
	n := f.postgres("events_per_commit")
	m := model{
		log: f.postgres("wal_bytes_per_event"), keys: f.postgres("keys_per_event"), keyIndex: f.postgres("keys_index_bytes_per_event"),
		event:      f.postgres("events_table_bytes_per_event") + f.postgres("events_index_bytes_per_event"),
		outcome:    f.postgres("outcomes_table_bytes_per_event") + f.postgres("outcomes_index_bytes_per_event"),
		key:        f.postgres("keys_table_bytes_per_event") + f.postgres("keys_index_bytes_per_event"),
		folderRate: f.folder("carom_per_s"), folderCPU: f.folder("cpu_s_per_1000") / 1000, twoNodes: f.postgres("two_node_ratio"),
	}
	for _, x := range []struct {
		key      string
		cost     *cost
		perEvent bool // what the figure is for; else the commits of a second, one of which follows the other
	}{{"node_cpu_s_per_1000", &m.node, true}, {"database_cpu_s_per_1000", &m.database, true}, {"commits_per_s", &m.commit, false}} {
		full, half := 1/f.postgres(x.key), 1/f.postgres("half_"+x.key)
		if x.perEvent {
			full, half = f.postgres(x.key)/1000*n, f.postgres("half_"+x.key)/1000*f.postgres("half_events_per_commit")
		}
		ok := f.has("half_events_per_commit") && f.has("half_"+x.key)
		if ok {
			*x.cost, ok = fit(n, full, f.postgres("half_events_per_commit"), half)
		}
		if !ok {
			m.oneLoad = append(m.oneLoad, x.key)
			*x.cost = cost{each: full / n}
		}
	}
	added := f.postgres("growth_wal_images_per_event") - f.postgres("wal_images_per_event")
	m.image = (f.postgres("growth_wal_bytes_per_event") - m.log) / added
	if added <= 0 || m.image <= 0 || m.image > pageBytes {
		m.image, m.imageAssumed = pageBytes, true
	}
	return m
}

// touched is how many different pages are touched per touch, when so many touches fall at random on so many pages.
func touched(touches, pages float64) float64 {
	if touches <= 0 || pages <= 0 {
		return 0
	}
	return -math.Expm1(-touches/pages) * pages / touches
}

// perNode is what one node does at the rate that it is meant for.
type perNode struct {
	rate    float64 // events/s
	batch   float64 // events in a commit at that rate
	bounded string  // what bounds the rate
}

// What bounds a node.
const (
	byCPU       = "its cores"
	byCommitter = "its one commit at a time"
	byBuckets   = "time buckets: events in each, and how many there may be"
)

// work is what events of these assumptions cost, to what one with one delivery and no reward does.
func (a assumptions) work() float64 {
	return 1 - a.DeliveryShare + a.DeliveryShare*a.Postbacks + a.Earn*a.RewardWork
}

// batch is how many events there are in a commit when so many come in a second: those that come while the last commit runs.
func batch(rate float64, commit cost) float64 {
	if rate*commit.each >= 1 {
		return maxBatch
	}
	return min(max(rate*commit.fixed/(1-rate*commit.each), 1), maxBatch)
}

// perNode is the highest rate at which a node keeps its headroom.
func (m model) perNode(a assumptions) perNode {
	commit := m.commit.plus(a.Sync / 1000).times(a.work())
	node := m.node.times(a.work())
	most := maxBatch / max(1, a.Postbacks*maxBatch/maxOutcomes) // events, so that the outcomes of their deliveries have room
	committer := (1 - a.Headroom) * most / commit.of(most)
	p := perNode{rate: committer, bounded: byCommitter}
	if buckets := a.BucketEvents * a.Buckets / (a.Retention * 86400); buckets < p.rate {
		p.rate, p.bounded = buckets, byBuckets
	}
	cores := func(rate float64) float64 {
		n := batch(rate, commit)
		return rate * node.of(n) / n
	}
	if free := (1 - a.Headroom) * a.NodeCores; cores(p.rate) > free {
		p.rate, p.bounded = search(p.rate, func(rate float64) bool { return cores(rate) <= free }), byCPU
	}
	p.batch = batch(p.rate, commit)
	return p
}

// search finds the highest value up to most that fits, where all below one that fits do.
func search(most float64, fits func(float64) bool) float64 {
	low, high := 0.0, most
	for range 200 {
		if mid := (low + high) / 2; fits(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// need is what one cluster needs of something at a rate, and the most that there is.
type need struct {
	Name  string  `json:"what"`
	Value float64 `json:"needs"`
	Most  float64 `json:"most"`
}

func (n need) share() float64 { return n.Value / n.Most }

// The names of what a cluster can run out of.
const (
	needCores       = "database cores"
	needLog         = "MB/s of log"
	needDisk        = "disk operations"
	needSpace       = "stored bytes"
	needConnections = "connections"
	needNumbers     = "numbers of nodes"
)

// cluster is what a primary, its replicas and their nodes need for a rate.
type cluster struct {
	nodes   float64
	cores   float64 // of the primary, with headroom
	log     float64 // bytes/s
	commits float64 // per second
	reads   float64 // pages/s, of the index of keys
	writes  float64 // pages/s, of the same
	stored  float64 // bytes after retention and dedupe window
	forEver float64 // bytes that rewards add in a year
}

// cluster computes one.
func (m model) cluster(a assumptions, p perNode, rate float64) cluster {
	c := cluster{nodes: math.Ceil(rate / p.rate * (1 - 1e-9)), commits: rate / p.batch}
	database := m.database.times(a.work())
	c.cores = rate * database.of(p.batch) / p.batch / (1 - a.Headroom)

	// Each key, and each claim of a reward, lies on a page at random. The first time that one is changed after a checkpoint it
	// is logged whole; a page that does not fit into memory is read and, sooner or later, written for each change.
	touches := m.keys + a.Earn
	index := rate * a.Dedupe * 86400 * m.keyIndex
	between := rate * touches * a.Checkpoint * 60
	images := rate * touches * touched(between, index/pageBytes)
	if index > a.Cache*1e9 {
		c.reads = rate * touches * (1 - a.Cache*1e9/index)
	}
	c.writes = max(images, c.reads)
	c.log = rate*m.log*a.work() + images*m.image
	c.stored = rate * 86400 * (a.Retention*(m.event+m.outcome*a.Postbacks) + a.Dedupe*m.key)
	c.forEver = rate * 86400 * 365 * a.Earn * a.RewardKB * 1000
	return c
}

func (c cluster) needs(a assumptions) []need {
	return []need{
		{needCores, c.cores, a.PrimaryCores},
		{needLog, c.log / 1e6 / (1 - a.Headroom), a.Log},
		{needDisk, (c.commits + c.reads + c.writes) / (1 - a.Headroom), a.Disk},
		{needSpace, (c.stored + c.forEver) / 1e12, a.Space},
		{needConnections, (c.nodes + 1) * connections, a.Connections}, // one more while nodes are replaced
		{needNumbers, c.nodes, maxNode},
	}
}

// step is what one rate needs.
type step struct {
	Rate          float64 `json:"events_per_s"`
	Clusters      float64 `json:"clusters"`
	Nodes         float64 `json:"nodes"`
	NodeCores     float64 `json:"node_cores"`
	PrimaryCores  float64 `json:"primary_cores"` // of all clusters together, as is everything
	ReplicaCores  float64 `json:"replica_cores"`
	Commits       float64 `json:"commits_per_s"`
	Batch         float64 `json:"events_per_commit"`
	Log           float64 `json:"log_mb_per_s"`
	PageReads     float64 `json:"page_reads_per_s"`
	PageWrites    float64 `json:"page_writes_per_s"`
	DiskOps       float64 `json:"disk_operations_per_s"` // of the primaries
	Stored        float64 `json:"stored_tb"`             // by each copy
	ForEver       float64 `json:"rewards_tb_per_year"`
	Outside       float64 `json:"network_mb_per_s"`     // with senders and receivers, both ways
	Replication   float64 `json:"replication_mb_per_s"` // from primaries to replicas
	CostCores     float64 `json:"cores_cost_per_billion_events"`
	CostStorage   float64 `json:"storage_cost_per_billion_events"`
	CostTraffic   float64 `json:"traffic_cost_per_billion_events"`
	FolderMachine float64 `json:"machines_with_sqlite"` // that the same events take, if apps are divided over them
	Needs         []need  `json:"one_cluster_needs"`    // for all of this rate, the scarcest first
}

// lacks are those of the needs of which one cluster has too little.
func (s step) lacks() []need {
	return slices.DeleteFunc(slices.Clone(s.Needs), func(n need) bool { return n.share() <= 1 })
}

// capacity is the most that one cluster carries, and what it runs out of first.
func (m model) capacity(a assumptions) (rate float64, first string) {
	p := m.perNode(a)
	fits := func(rate float64) bool {
		return !slices.ContainsFunc(m.cluster(a, p, rate).needs(a), func(n need) bool { return n.share() > 1 })
	}
	high := p.rate
	for fits(high) && high < 1e12 {
		high *= 2
	}
	rate = search(high, fits)
	// What it is that does not fit a little above.
	worst := slices.MaxFunc(m.cluster(a, p, rate*1.000001).needs(a), func(x, y need) int { return cmp.Compare(x.share(), y.share()) })
	return rate, worst.Name
}

// at computes what a rate needs.
func (m model) at(a assumptions, rate float64) step {
	p := m.perNode(a)
	most, _ := m.capacity(a)
	clusters := math.Ceil(rate / most * (1 - 1e-9))
	c := m.cluster(a, p, rate/clusters)
	s := step{
		Rate: rate, Clusters: clusters, Nodes: clusters * c.nodes, NodeCores: clusters * c.nodes * a.NodeCores,
		PrimaryCores: clusters * math.Ceil(c.cores), ReplicaCores: clusters * math.Ceil(c.cores) * a.Replicas,
		Commits: clusters * c.commits, Batch: p.batch, Log: clusters * c.log / 1e6, PageReads: clusters * c.reads, PageWrites: clusters * c.writes,
		DiskOps: clusters * (c.commits + c.reads + c.writes), Stored: clusters * c.stored / 1e12, ForEver: clusters * c.forEver / 1e12,
		Outside: rate * (1 + a.Postbacks) * a.Exchange / 1e6, Replication: clusters * c.log / 1e6 * a.Replicas,
		FolderMachine: math.Ceil(rate / (m.folderRate / a.work() * (1 - a.Headroom))),
	}
	const monthHours = 730
	billion := 1e9 / (rate * 3600) // hours
	s.CostCores = billion * (s.NodeCores + s.PrimaryCores + s.ReplicaCores) * a.CoreHour
	s.CostStorage = billion * (s.Stored + s.ForEver) * 1000 * (1 + a.Replicas) * a.GBMonth / monthHours
	s.CostTraffic = billion * s.Outside * 3600 / 1000 * a.GBTraffic
	s.Needs = m.cluster(a, p, rate).needs(a)
	slices.SortStableFunc(s.Needs, func(x, y need) int { return cmp.Compare(y.share(), x.share()) })
	return s
}
