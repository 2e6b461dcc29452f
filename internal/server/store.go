package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"carom"
	"carom/internal/api"
	"carom/internal/backup"
	"carom/internal/config"
	"carom/internal/confirm"
	"carom/internal/deliver"
	"carom/internal/ingest"
	"carom/internal/postgres"
	"carom/internal/reward"
	"carom/internal/store"
	"carom/internal/tables"
	"carom/internal/view"
)

// Store is what the parts keep things in: a data folder, or a database that several nodes share.
type Store interface {
	ingest.Store
	ingest.Views
	ingest.Holds
	ingest.Comparisons
	deliver.Store
	view.Store
	confirm.Store
	api.History
	books

	Objects(ctx context.Context) (carom.Objects, error)
	SetObjects(ctx context.Context, o carom.Objects, audit ...carom.AuditEntry) (carom.Objects, error)
	ShadowReport(ctx context.Context, app, source string, since time.Time) (carom.ShadowReport, error)
	UnverifiedSample(ctx context.Context, app, source string, limit int) ([]*carom.Unverified, error)
	Resend(ctx context.Context, id carom.DeliveryID) (endpoint int, err error)

	Stats() *tables.Stats
	Now() time.Time
	Run(ctx context.Context) error
	Close() error
}

// books is what the API reads and changes, but for what apiStore has to put into its words.
type books interface {
	api.Books
	api.Answers
	api.People
	api.Finder
	api.Reports
	Events(ctx context.Context, f carom.EventFilter) ([]*carom.Event, error)
	StartFeed(ctx context.Context, f carom.EventFilter, after carom.EventID) (carom.Feed, error)
	EventsBehind(ctx context.Context, f carom.EventFilter, c carom.FeedCursor) (carom.Feed, error)
	Story(ctx context.Context, id carom.EventID) (*carom.Story, error)
	Refused(ctx context.Context, f carom.RefusedFilter) ([]*carom.Refused, error)
	RefusedByID(ctx context.Context, id carom.ReceivedID) (*carom.Refused, error)
	Counts(ctx context.Context, f carom.CountFilter) ([]carom.Count, error)
	DeliveryCounts(ctx context.Context, f carom.CountFilter) ([]carom.DeliveryCount, error)
	Deliveries(ctx context.Context, endpoint int, state carom.DeliveryState, f carom.EventFilter) (list []*carom.Story, next carom.EventID, err error)
	Keys(ctx context.Context) ([]carom.APIKey, error)
	CreateKey(ctx context.Context, key carom.APIKey, audit ...carom.AuditEntry) error
	DeleteKey(ctx context.Context, id string, audit ...carom.AuditEntry) error
	Trouble() carom.Trouble
	Rewards(ctx context.Context, f carom.RewardFilter) ([]*carom.Reward, error)
	Reward(ctx context.Context, id carom.RewardID) (*carom.Reward, []carom.LedgerLine, error)
	Ledger(ctx context.Context, f carom.LedgerFilter) ([]carom.LedgerLine, error)
	Balances(ctx context.Context, app, user string) ([]carom.Balance, error)
	CheckLedger(ctx context.Context) (carom.LedgerReport, error)
	Person(ctx context.Context, app, user string) (*carom.Person, error)
	Erase(ctx context.Context, app, user string) (carom.Erased, error)
}

// opened is the store that the settings ask for: exactly one of folder and shared is set.
type opened struct {
	Store
	folder *store.Store    // a data folder, of this process alone
	shared *postgres.Store // a database, which other nodes may share
	self   carom.Node      // this process, as far as it does not change; with a folder
	unlock func() error    // of the data folder of a node, in which its socket and its certificates are
}

// Close closes the store, and lets go of the data folder.
func (o opened) Close() error {
	if o.unlock == nil {
		return o.Store.Close() // which has the lock
	}
	return errors.Join(o.Store.Close(), o.unlock())
}

func openStore(ctx context.Context, cfg config.Config, log *slog.Logger, version string) (opened, error) {
	log = log.With("component", "store")
	if cfg.Database != "" {
		lock, err := store.LockFolder(cfg.Data)
		if err != nil {
			return opened{}, err
		}
		if store.Holds(cfg.Data) {
			log.Warn("the data folder holds what was kept before there was a database; nothing of it is used: see `carom move`", "data", cfg.Data)
		}
		st, err := postgres.Open(ctx, postgres.Options{
			URL: cfg.Database, Name: cfg.NodeName, Version: version, Deployment: cfg.DeploymentName(), BucketEvents: cfg.BucketEvents, Retention: cfg.Retention,
			UnverifiedRetention: cfg.UnverifiedRetention, AuditRetention: cfg.AuditRetention, MaxQueue: cfg.MaxQueue, Decide: reward.Decide, Keys: cfg.SecretsKeys, Log: log,
		})
		if err != nil {
			return opened{}, errors.Join(err, lock.Unlock())
		}
		return opened{Store: st, shared: st, unlock: lock.Unlock}, nil
	}
	st, err := store.Open(cfg.Data, store.Options{
		BucketEvents: cfg.BucketEvents, Retention: cfg.Retention, UnverifiedRetention: cfg.UnverifiedRetention, AuditRetention: cfg.AuditRetention,
		MaxQueue: cfg.MaxQueue, CacheMB: cfg.CacheMB, Decide: reward.Decide, Keys: cfg.SecretsKeys, Log: log,
	})
	if err != nil {
		return opened{}, err
	}
	logRecovered(log, st)
	self := carom.Node{Name: cfg.NodeName, Version: version, State: carom.NodeAlive, Self: true, Began: st.Now().UTC(), Duties: []string{}}
	if self.Name == "" {
		self.Name, _ = os.Hostname() // a machine without a name has none here either
	}
	return opened{Store: st, folder: st, self: self}, nil
}

// backup writes the data folder to w.
func (o opened) backup(ctx context.Context, version string, w io.Writer) error {
	if o.folder == nil {
		return fmt.Errorf("backup: what is kept in PostgreSQL is backed up by PostgreSQL's own means: %w", carom.ErrInvalid)
	}
	_, err := backup.Write(ctx, o.folder, version, w)
	return err
}

// nodes lists the nodes that share the store: with a data folder, this process.
func (o opened) nodes(ctx context.Context) ([]carom.Node, error) {
	if o.shared != nil {
		return o.shared.Nodes(ctx)
	}
	self := o.self
	self.Seen, self.Events, self.Attempts = o.Now().UTC(), o.Stats().Events.Load(), o.Stats().Attempts.Load()
	waiting, err := o.Backlogs(ctx)
	for _, b := range waiting {
		self.Claimed += b.Waiting
	}
	return []carom.Node{self}, err
}

// otherEvents reads what other nodes store; nil when there can be none.
func (o opened) otherEvents() func(context.Context, carom.EventFilter, carom.FeedCursor) (carom.Feed, error) {
	if o.shared == nil {
		return nil
	}
	return o.shared.OtherEvents
}

// peers are the other nodes that make attempts to the same endpoints; nil when there can be none.
func (o opened) peers() deliver.Peers {
	if o.shared == nil {
		return nil
	}
	return o.shared
}

// onDuty runs f, which is enough to be done by one node, unless another does it. While the database cannot say who does, nobody can.
func (o opened) onDuty(ctx context.Context, name string, f func() error) error {
	if o.shared != nil {
		mine, err := o.shared.OnDuty(ctx, name)
		if err != nil && !errors.Is(err, carom.ErrUnavailable) {
			return err
		}
		if !mine {
			return nil
		}
	}
	return f()
}

// holds are the rewards whose holds end, on the node that credits them for all.
type holds struct{ opened }

// HeldDue implements ingest.Holds.
func (h holds) HeldDue(ctx context.Context, now time.Time, limit int) (due []*carom.Reward, err error) {
	err = h.onDuty(ctx, "holds", func() error {
		due, err = h.Store.HeldDue(ctx, now, limit)
		return err
	})
	return due, err
}
