package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// backupStall is how long a backup waits for its reader to take some more. Meanwhile the write-ahead log grows.
const backupStall = time.Minute

// backup sends a backup of the data folder. What goes wrong after its first byte ends the connection, so that a backup that
// was cut off is never taken for a whole one.
func (s *service) backup(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	c := callerOf(ctx)
	if err := c.all(); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		_, w := humago.Unwrap(hctx)
		out := &unhurried{w: w, rc: http.NewResponseController(w)}
		s.Log.InfoContext(ctx, "backup begins", "by", c.name)
		if err := s.Backup(hctx.Context(), out); err != nil {
			s.Log.WarnContext(ctx, "backup ended early", "by", c.name, "bytes", out.n, "error", err)
			if out.n == 0 {
				writeProblem(w, newProblem(http.StatusServiceUnavailable, "the data folder cannot be read: "+err.Error()))
				return
			}
			panic(http.ErrAbortHandler) // net/http's own way to hang up
		}
		s.Log.InfoContext(ctx, "backup made", "by", c.name, "bytes", out.n)
	}}, nil
}

// unhurried gives each write a minute, however long all of them take.
type unhurried struct {
	w  http.ResponseWriter
	rc *http.ResponseController
	n  int64
}

func (u *unhurried) Write(p []byte) (int, error) {
	if u.n == 0 {
		u.w.Header().Set("Content-Type", "application/zstd")
		u.w.Header().Set("Cache-Control", "no-store")
	}
	_ = u.rc.SetWriteDeadline(time.Now().Add(backupStall)) // a server without deadlines has none to set
	n, err := u.w.Write(p)
	u.n += int64(n)
	return n, err
}

var _ io.Writer = (*unhurried)(nil)
