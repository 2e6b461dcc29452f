// Package storetest is what every store of carom has to do, as one suite of tests: "same behaviour, same suite". A package that
// holds a store hands [Run] a way to open one, and is judged by what its users see, through the methods that the server calls.
//
// The suite asks for what users are promised and for nothing that is an accident of an engine. Ids are unique, but may have gaps.
// Lists come newest first by the time of acceptance, where events that came at the same reading of the clock may come in any
// order; a page's cursor neither skips nor repeats. Submissions of one Accept are judged in their order. What only one engine
// has, its files, its faults, its counters of commits, is tested beside that engine.
package storetest

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"carom"
	"carom/internal/reward"
	"carom/internal/seal"
)

// Store is what the suite uses of a store. Its methods promise what those of the same name say in package store.
type Store interface {
	Accept(subs ...*carom.Submission)
	Refuse(r *carom.Refused) error
	Unverified(v carom.Unverified)

	Record(d *carom.Delivery, a *carom.Attempt) error
	Defer(d *carom.Delivery, due time.Time) error
	Begin(ctx context.Context, d *carom.Delivery) error
	Claim(ctx context.Context, c carom.Claim) (list []*carom.Delivery, next uint64, err error)
	Release(d *carom.Delivery)
	NextDue(ctx context.Context, endpoint int, now time.Time) (time.Time, error)
	Backlogs(ctx context.Context) ([]carom.Backlog, error)
	Resend(ctx context.Context, id carom.DeliveryID) (endpoint int, err error)
	SetBreaker(ctx context.Context, endpoint int, openedAt time.Time) error
	Breakers(ctx context.Context) (map[int]time.Time, error)

	BeginRequest(ctx context.Context, r carom.KeptRequest, most int) (*carom.KeptAnswer, error)
	EndRequest(ctx context.Context, id [16]byte, a carom.KeptAnswer) error
	ForgetRequest(ctx context.Context, id [16]byte) error

	Events(ctx context.Context, f carom.EventFilter) ([]*carom.Event, error)
	StartFeed(ctx context.Context, f carom.EventFilter, after carom.EventID) (carom.Feed, error)
	EventsBehind(ctx context.Context, f carom.EventFilter, c carom.FeedCursor) (carom.Feed, error)
	Event(ctx context.Context, id carom.EventID) (*carom.Event, error)
	Story(ctx context.Context, id carom.EventID) (*carom.Story, error)
	Refused(ctx context.Context, f carom.RefusedFilter) ([]*carom.Refused, error)
	UnverifiedSample(ctx context.Context, app, source string, limit int) ([]*carom.Unverified, error)
	Counts(ctx context.Context, f carom.CountFilter) ([]carom.Count, error)
	DeliveryCounts(ctx context.Context, f carom.CountFilter) ([]carom.DeliveryCount, error)
	ReportCounts(ctx context.Context, f carom.ReportFilter) ([]carom.ReportCount, error)
	DetailCounts(ctx context.Context, f carom.ReportFilter, kinds ...carom.DetailKind) ([]carom.DetailCount, error)
	Deliveries(ctx context.Context, endpoint int, state carom.DeliveryState, f carom.EventFilter) (list []*carom.Story, next carom.EventID, err error)
	FindEvents(ctx context.Context, f carom.EventFilter) (list []*carom.Event, next carom.EventID, err error)
	SentAttempts(ctx context.Context, f carom.AttemptFilter) (list []carom.SentAttempt, next carom.AttemptCursor, err error)
	NewestAttempts(ctx context.Context, since time.Time, each int) (map[int][]carom.Attempt, error)
	NewestEvents(ctx context.Context, each int) (map[string][]*carom.Event, error)

	Objects(ctx context.Context) (carom.Objects, error)
	SetObjects(ctx context.Context, o carom.Objects, audit ...carom.AuditEntry) (carom.Objects, error)
	Keys(ctx context.Context) ([]carom.APIKey, error)
	KeyBySum(sum [32]byte) (carom.APIKey, bool)
	CreateKey(ctx context.Context, k carom.APIKey, audit ...carom.AuditEntry) error
	DeleteKey(ctx context.Context, id string, audit ...carom.AuditEntry) error
	StoreUses(ctx context.Context) error

	Members(ctx context.Context) ([]carom.Member, error)
	AnyMember(ctx context.Context) (bool, error)
	Member(ctx context.Context, name string) (carom.Member, error)
	CreateMember(ctx context.Context, m carom.Member, link carom.OneTimeLink, audit ...carom.AuditEntry) error
	ChangeMember(ctx context.Context, was, m carom.Member, audit ...carom.AuditEntry) error
	DeleteMember(ctx context.Context, id string, audit ...carom.AuditEntry) error
	CreateLink(ctx context.Context, l carom.OneTimeLink, audit ...carom.AuditEntry) error
	Link(ctx context.Context, sum [32]byte) (carom.OneTimeLink, error)
	ClaimLink(ctx context.Context, l carom.OneTimeLink, m carom.Member, session carom.Session, audit ...carom.AuditEntry) error
	SetPassword(ctx context.Context, member string, password carom.Masked, keep [32]byte, audit ...carom.AuditEntry) error
	CreateSession(ctx context.Context, s carom.Session, audit ...carom.AuditEntry) error
	Session(ctx context.Context, sum [32]byte) (carom.Session, carom.Member, error)
	EndSession(ctx context.Context, sum [32]byte, audit ...carom.AuditEntry) error
	SavedFilters(ctx context.Context, member string) ([]carom.SavedFilter, error)
	SaveFilter(ctx context.Context, member string, f carom.SavedFilter) error
	DeleteFilter(ctx context.Context, member, name string) error
	AddAudit(ctx context.Context, entries ...carom.AuditEntry) error
	Audit(ctx context.Context, f carom.AuditFilter) ([]carom.AuditEntry, error)

	Rewards(ctx context.Context, f carom.RewardFilter) ([]*carom.Reward, error)
	Reward(ctx context.Context, id carom.RewardID) (*carom.Reward, []carom.LedgerLine, error)
	HeldDue(ctx context.Context, now time.Time, limit int) ([]*carom.Reward, error)
	Ledger(ctx context.Context, f carom.LedgerFilter) ([]carom.LedgerLine, error)
	Balances(ctx context.Context, app, user string) ([]carom.Balance, error)
	CheckLedger(ctx context.Context) (carom.LedgerReport, error)
	Person(ctx context.Context, app, user string) (*carom.Person, error)
	Erase(ctx context.Context, app, user string) (carom.Erased, error)

	OpenView(ctx context.Context, v *carom.View) error
	View(ctx context.Context, id carom.ViewID) (*carom.View, error)
	ViewByYMID(ctx context.Context, app, ymid string) (*carom.View, error)
	ViewOfUser(ctx context.Context, app, user string) (*carom.View, error)
	ViewOutcome(ctx context.Context, v *carom.View) (carom.ViewOutcome, error)
	ViewSeal() carom.ViewSeal
	Views(ctx context.Context, f carom.ViewFilter) (list []*carom.View, next carom.ViewID, err error)

	Compare(ctx context.Context, entries []carom.ShadowEntry) (kept int, err error)
	ShadowReport(ctx context.Context, app, source string, since time.Time) (carom.ShadowReport, error)
	AddStatement(ctx context.Context, st carom.Statement, rows []carom.StatementRow) (made carom.Statement, again bool, err error)
	Statements(ctx context.Context, f carom.StatementFilter) ([]carom.Statement, error)
	Statement(ctx context.Context, id carom.StatementID) (carom.Statement, []carom.StatementRow, error)
	StatedDays(ctx context.Context, app, source, first, last string) ([]carom.Statement, map[string][]carom.StatementRow, error)
	QuarterCounts(ctx context.Context, f carom.QuarterFilter, each func(*carom.QuarterCount) error) error
	OpenedViews(ctx context.Context, app string, bounds []time.Time) ([]map[string]int64, error)

	Prune(ctx context.Context) error
	Trouble() carom.Trouble
	Run(ctx context.Context) error
	Close() error
}

// Options are the settings with which a place opens its stores. The zero value of a field means the store's default, but for
// Clock, Decide and Keys, which the suite always sets.
type Options struct {
	BucketEvents        int           // events after which a bucket closes, where there are buckets
	Retention           time.Duration // of events, their attempts, refused postbacks
	CountRetention      time.Duration // of counts
	UnverifiedRetention time.Duration // of the unverified sample
	AuditRetention      time.Duration // of the audit log
	MaxQueue            int           // submissions that may wait for a commit
	SegmentRewards      int           // rewards whose keys share an index file, where there are segments
	Clock               func() time.Time
	Decide              func(*carom.Candidate, *carom.RewardFacts) carom.Decision
	Keys                *seal.Ring // that secrets are sealed by
}

// Opener makes a place for a store, empty and of its own, which is gone when the test has ended.
type Opener func(t testing.TB, o Options) Place

// Place is somewhere a store lives: a folder, a database. One store at most is open in it at a time. Its methods fail the test
// when they cannot do what they say.
type Place interface {
	// Open opens a store in the place with what earlier ones left there, and runs it until Stop or Crash.
	Open(t testing.TB) Store
	// Stop ends the store in order: its Run ends, it is closed. Whoever calls the store afterwards is told to try later.
	Stop(t testing.TB)
	// Crash ends the store as a kill would, at this moment, between two commits. What it had acknowledged is there for the next
	// Open, and nothing of what only its memory held.
	Crash(t testing.TB)
	// Settle returns once the open store has stored all that Record and Defer were given before.
	Settle(t testing.TB)
	// Invariants checks what must be true of all that is stored, whether the store is open or stopped. Nothing is under way.
	Invariants(t testing.TB)
	// Find says where the text occurs in all that is stored, one line a value, with the value in it. The store is open.
	Find(t testing.TB, text string) []string
}

// test is one behaviour.
type test struct {
	name string
	run  func(t *testing.T, open Opener)
}

// Run runs the whole suite, or the topics ("accept") and tests ("accept/every field") that are named, each test in a place of its own,
// several at a time.
func Run(t *testing.T, open Opener, only ...string) {
	unknown := slices.Clone(only)
	named := func(name string) bool {
		unknown = slices.DeleteFunc(unknown, func(n string) bool { return n == name })
		return slices.Contains(only, name)
	}
	for _, topic := range []struct {
		name  string
		tests []test
	}{
		{"accept", []test{
			{"once, and after a restart", acceptsOnce},
			{"every field", keepsEveryField},
			{"copies in one call", copiesInOneCall},
			{"copies in parallel", copiesInParallel},
			{"a full queue", fullQueue},
			{"the end answers everybody", endAnswersEverybody},
			{"after the end", nothingAfterTheEnd},
		}},
		{"dedupe", []test{
			{"copies of long ago", copiesOfLongAgo},
			{"the window counts from the first", windowCountsFromTheFirst},
			{"the clock jumps back", copiesWhenTheClockJumpsBack},
			{"copies are counted by kind", copiesAreCountedByKind},
			{"a second key", secondKey},
		}},
		{"outcomes", []test{
			{"record ends a delivery", recordEndsADelivery},
			{"an attempt that is recorded again counts as it was told last", recordAgain},
			{"pending is handed out again when due", pendingIsHandedOutWhenDue},
			{"deferred is handed out when due", deferredIsHandedOutWhenDue},
			{"begin claims", beginClaims},
			{"begin is kept over a crash", beginIsKept},
			{"begin is withdrawn", beginIsWithdrawn},
			{"resend", resend},
			{"resend is kept over a crash", resendIsKept},
		}},
		{"claims", []test{
			{"the soonest due first", claimsDueBy},
			{"in order of acceptance", claimsInOrder},
			{"until the outcome is stored", claimedUntilStored},
			{"next due and backlogs", nextDueAndBacklogs},
			{"beside outcomes", claimsBesideOutcomes},
		}},
		{"recover", []test{
			{"a crash loses nothing", crashLosesNothing},
			{"a clean end leaves little", cleanEndLeavesLittle},
			{"a crash at any moment", crashAtAnyMoment},
		}},
		{"search", []test{
			{"finds all and nothing twice", searchFindsAll},
			{"steps through many hits", searchStepsThroughManyHits},
			{"finds by what has no index", findsEvents},
			{"foreign cursors", foreignCursors},
			{"what is not there", storyOfWhatIsNotThere},
			{"beside accepts", searchBesideAccepts},
		}},
		{"feed", []test{
			{"follows what is stored", feedFollows},
			{"goes on behind an event", feedGoesOn},
			{"is bounded", feedIsBounded},
			{"beside accepts", feedBesideAccepts},
		}},
		{"journal", []test{
			{"refused ones are kept and paged", refusedAreKeptAndPaged},
			{"the unverified sample is bounded", unverifiedSampleIsBounded},
			{"the unverified sample of one app", unverifiedSampleOfOneApp},
		}},
		{"deliveries", []test{
			{"of an endpoint", deliveriesOfAnEndpoint},
			{"of all endpoints", deliveriesOfAll},
			{"attempts newest first", sentAttempts},
		}},
		{"survey", []test{
			{"newest attempts by endpoint", newestAttempts},
			{"newest events by app", newestEvents},
		}},
		{"counts", []test{
			{"by dimension", countsByDimension},
			{"prices add up", pricesAddUp},
			{"request vars beyond the bound", requestVarsAreBounded},
			{"of deliveries", deliveryCounts},
			{"of rewards", rewardCounts},
		}},
		{"reports", []test{
			{"count by source and spot", reportsCount},
			{"times to confirm", timesToConfirm},
			{"spots beyond the bound", spotsAreBounded},
			{"added up when hours are over", reportsRollUp},
			{"end with the counts", reportsEnd},
		}},
		{"rewards", []test{
			{"one in every order of events", oneRewardInEveryOrder},
			{"what events earn", whatEventsEarn},
			{"who is told", whoIsToldOfRewards},
			{"receipts keep their state", receiptsKeepTheirState},
			{"as many endpoints as events", rewardsGoToAsManyEndpoints},
			{"a reward tells its story", rewardTellsItsStory},
			{"found page by page", rewardsPageByPage},
			{"agree with plain books", agreeWithPlainBooks},
		}},
		{"ledger", []test{
			{"balances are exact", balancesAreExact},
			{"lines newest first", linesNewestFirst},
			{"the check counts", ledgerCheckCounts},
			{"sums at every moment", sumsAtEveryMoment},
		}},
		{"repeating ymids", []test{
			{"events find their views", eventsFindTheirViews},
			{"of users and zones are apart", usersAndZonesAreApart},
			{"a start before the newest event", startBeforeTheNewestEvent},
		}},
		{"views", []test{
			{"come back as they were opened", viewsComeBack},
			{"opening one ends the user's earlier one", openingEndsTheEarlierOne},
			{"outcome", viewOutcome},
			{"newest first", viewsNewestFirst},
		}},
		{"retention", []test{
			{"drops events and still tells copies", retentionTellsCopies},
			{"expires what still waits", retentionExpiresWhatWaits},
			{"beside readers", retentionBesideReaders},
			{"keeps what still counts", retentionKeepsWhatCounts},
			{"rewards outlive their events", rewardsOutliveTheirEvents},
			{"a grant is made once for ever", grantIsMadeOnce},
			{"the unverified sample", unverifiedSampleEnds},
		}},
		{"objects", []test{
			{"come back as they were", objectsComeBack},
			{"are sealed", objectsAreSealed},
			{"endpoint numbers are never reused", endpointNumbers},
		}},
		{"keys", []test{
			{"are kept until they are deleted", keys},
			{"know when they were last used", keyUses},
		}},
		{"members", []test{
			{"come back as they were", membersComeBack},
			{"the last operator stays", lastOperatorStays},
			{"links count once", linksCountOnce},
			{"sessions end", sessionsEnd},
			{"filters", savedFilters},
		}},
		{"audit", []test{
			{"entries come with their changes", auditComesWithChanges},
			{"found page by page", auditPageByPage},
		}},
		{"breakers", []test{{"outlive the process", breakersOutliveTheProcess}}},
		{"answers", []test{
			{"are kept for a day", answersAreKept},
			{"of copies at the same time, one is carried out", requestsAtTheSameTime},
			{"are withheld when a user is erased", answersOfTheErased},
			{"are bounded for each caller", answersAreBounded},
		}},
		{"shadow", []test{
			{"report", shadowReport},
			{"notes", shadowNotes},
			{"after the end", compareAfterTheEnd},
		}},
		{"reconcile", []test{
			{"quarters count what minutes do", quartersCount},
			{"statements are kept and replaced", statementsAreKept},
			{"opened views are counted", openedViewsAreCounted},
		}},
		{"person", []test{
			{"erase", erase},
			{"erase waits", eraseWaits},
		}},
	} {
		all := len(only) == 0 || named(topic.name)
		tests := slices.DeleteFunc(topic.tests, func(c test) bool { return !named(topic.name+"/"+c.name) && !all })
		if len(tests) == 0 {
			continue
		}
		t.Run(topic.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range tests {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(t, open)
				})
			}
		})
	}
	if len(unknown) > 0 {
		t.Errorf("the suite has no topics or tests of the names %q", unknown)
	}
}

// noon is when the suite's clocks begin: far from the edges of minutes, hours and days.
var noon = time.Date(2026, 3, 1, 12, 30, 30, 0, time.UTC)

const day = 24 * time.Hour

// clock is a clock that tests set.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) set(t time.Time)         { c.ns.Store(t.UnixNano()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// tick moves the clock by the least that events are told apart by, and returns the new time: what is accepted now comes after all
// that was accepted before.
func (c *clock) tick() time.Time {
	c.advance(time.Millisecond)
	return c.now()
}

// world is a place, the store that is open in it, and the clock by which it goes.
type world struct {
	Store // the one that is open, or was until the end

	clock
	place  Place
	opened bool
}

// sealing are the keys that seal what the suite stores.
var sealing, _ = seal.Parse(seal.NewKey()) // which is one

// begin opens a store in a new place. It decides about rewards as the server does, and starts at noon. When the test ends it is
// stopped, and what it leaves is checked.
func begin(t testing.TB, open Opener, o Options) *world {
	t.Helper()
	w := &world{}
	w.set(noon)
	o.Clock, o.Decide, o.Keys = w.now, reward.Decide, sealing
	w.place = open(t, o)
	w.start(t)
	t.Cleanup(func() { w.stop(t) })
	return w
}

func (w *world) start(t testing.TB) {
	t.Helper()
	w.Store, w.opened = w.place.Open(t), true
}

// stop ends the store in order and checks what it leaves; twice is once.
func (w *world) stop(t testing.TB) {
	t.Helper()
	if w.opened {
		w.opened = false
		w.place.Stop(t)
		w.place.Invariants(t)
	}
}

func (w *world) restart(t testing.TB) {
	t.Helper()
	w.stop(t)
	w.start(t)
}

func (w *world) crash(t testing.TB) {
	t.Helper()
	w.opened = false
	w.place.Crash(t)
	w.start(t)
	w.place.Invariants(t)
}

func (w *world) settle(t testing.TB) {
	t.Helper()
	w.place.Settle(t)
}
