package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"carom"
)

// The nodes tell one another that there is news for those who wait for views. It is a hint, which may be lost: who waits looks
// every second anyway. It is sent beside the commits, whose locks a notification within them would hold while they wait for the disk.
const (
	newsChannel = "carom_news"
	newsEvery   = 50 * time.Millisecond // at most
	listenAgain = 5 * time.Second       // after a connection broke
)

// News gets a value when another node has stored what somebody here may wait for.
func (s *Store) News() <-chan struct{} { return s.news }

// ViewsWithNews says which of the views have had an event that was received since, on any node.
func (s *Store) ViewsWithNews(ctx context.Context, views []carom.ViewID, since time.Time) ([]carom.ViewID, error) {
	texts := make([]string, len(views))
	for i, id := range views {
		texts[i] = string(id)
	}
	rows, err := s.lanes.QueryContext(ctx, `SELECT DISTINCT view FROM events WHERE place >= $1 AND at >= $2 AND view = ANY ($3)`,
		bucketStart(max(s.openNumber.Load(), 2)-1), since.UnixMilli(), texts) // nothing that young lies in older buckets
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var found []carom.ViewID
	for rows.Next() {
		var id carom.ViewID
		if err := rows.Scan(&id); err != nil {
			return nil, translate(err)
		}
		found = append(found, id)
	}
	return found, translate(rows.Err())
}

// tellOthers sends on that there is news, until ctx ends.
func (s *Store) tellOthers(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.toTell:
		}
		if _, err := s.lanes.ExecContext(ctx, `SELECT pg_notify('`+newsChannel+`', '')`); err != nil && ctx.Err() == nil {
			s.log.Debug("other nodes are not told; they look every second", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(newsEvery):
		}
	}
}

// listen passes on what other nodes tell, until ctx ends. Behind a pooler that hands a connection to others between two
// transactions nothing can be heard, and looking every second has to do.
func (s *Store) listen(ctx context.Context) {
	if s.pooled {
		return
	}
	for ctx.Err() == nil {
		if err := s.hear(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug("other nodes are not heard for a while", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

func (s *Store) hear(ctx context.Context) error {
	config := s.config.Config.Copy()
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { signal(s.news) }
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing was written
	if _, err := conn.Exec(ctx, "LISTEN "+newsChannel).ReadAll(); err != nil {
		return err
	}
	for {
		if err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}

// signal leaves a value in a channel of capacity 1, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
