package api

import (
	"context"
	"fmt"
	"slices"

	"carom"
)

// Reason is why something is changed by hand.
type Reason struct {
	Why string `json:"why" minLength:"1" maxLength:"500" doc:"Kept in the server's log"`
}

// Frozen is how a source stands after it was frozen or thawed.
type Frozen struct {
	DryRun  bool   `json:"dry_run"`
	Source  string `json:"source" doc:"app/source"`
	Mode    string `json:"mode" enum:"live,frozen" doc:"How it stands now, or with dry_run would"`
	Changed bool   `json:"changed" doc:"Whether that is another mode than before"`
	Waiting int    `json:"waiting" doc:"How many of its events were held while it was frozen, and wait to be reprocessed"`
	More    bool   `json:"more,omitempty" doc:"There may be more: only so many were looked at"`
	Next    string `json:"next" doc:"What to type next"`
}

type freezeIn struct {
	ObjectPath
	Preview
	Body Reason
}

type frozenOut struct{ Body Frozen }

func (s *service) freezeSource(ctx context.Context, in *freezeIn) (*frozenOut, error) {
	return s.setMode(ctx, in, carom.SourceFrozen)
}

func (s *service) thawSource(ctx context.Context, in *freezeIn) (*frozenOut, error) {
	return s.setMode(ctx, in, carom.SourceLive)
}

// setMode freezes a source or lets it go on. What was held meanwhile stays held until somebody reprocesses it.
func (s *service) setMode(ctx context.Context, in *freezeIn, mode carom.SourceMode) (*frozenOut, error) {
	by, err := by(ctx, in.Body.Why)
	if err != nil {
		return nil, err
	}
	changed, err := s.changeMode(ctx, &in.ObjectPath, mode, in.DryRun)
	if err != nil {
		return nil, err
	}
	if changed && !in.DryRun {
		what := "freeze"
		if mode == carom.SourceLive {
			what = "thaw"
		}
		s.audit(ctx, what, by, "source", in.App+"/"+in.Name)
	}
	n, err := s.waits(ctx, in.App, in.Name, scanEvents)
	if err != nil {
		return nil, err
	}
	out := &frozenOut{Frozen{
		DryRun: in.DryRun, Source: in.App + "/" + in.Name, Mode: "live", Changed: changed, Waiting: n.frozen, More: n.more,
		Next: "nothing: no events of it wait",
	}}
	if mode == carom.SourceFrozen {
		out.Body.Mode, out.Body.Next = "frozen", "when all is well again: carom thaw "+in.App+"/"+in.Name+" --why REASON"
	} else if n.frozen > 0 || n.more {
		out.Body.Next = releaseFrozen(in.App, in.Name)
	}
	return out, nil
}

// releaseFrozen is how events are counted that were held while their source was frozen.
func releaseFrozen(app, source string) string {
	return "carom reprocess --app " + app + " --source " + source + " --kind held --reason " + string(carom.ReasonFrozen) + " --why REASON"
}

// waiting is how many events of a source are held and were not reprocessed.
type waiting struct {
	frozen, other int
	more          bool // only so many events were looked at
}

// waits counts the events of a source that wait, among its newest ones. What a source in shadow held waits for nobody.
func (s *service) waits(ctx context.Context, app, source string, scan int) (n waiting, err error) {
	next, err := s.eachHeld(ctx, carom.EventFilter{App: app, Source: source}, scan, func(ev *carom.Event) bool {
		switch carom.Reason(ev.Held) {
		case carom.ReasonFrozen:
			n.frozen++
		case carom.ReasonShadow:
		default:
			n.other++
		}
		return true
	})
	n.more = next != ""
	return n, err
}

// changeMode puts the mode of a source in force, unless it only says whether that would be a change.
func (s *service) changeMode(ctx context.Context, in *ObjectPath, mode carom.SourceMode, dryRun bool) (changed bool, err error) {
	s.change.Lock()
	defer s.change.Unlock()
	o := s.Objects.Objects()
	i := slices.IndexFunc(o.Sources, func(src carom.Source) bool { return src.App == in.App && src.Name == in.Name })
	if i < 0 || !callerOf(ctx).sees(in.App) {
		return false, failf(carom.ErrNotFound, "there is no source %s/%s; GET /v1/objects lists them", in.App, in.Name)
	}
	switch have := o.Sources[i].Mode; {
	case have == mode:
		return false, nil
	case have == carom.SourceShadow:
		return false, failf(carom.ErrConflict, "the source %s/%s is in shadow: nothing is granted or sent for it; write another `mode` for it in the objects file to change that",
			in.App, in.Name)
	}
	if file := s.Objects.File(); file != "" {
		fix := "set `mode: frozen` for the source %s/%s there"
		if mode == carom.SourceLive {
			fix = "remove `mode: frozen` from the source %s/%s there"
		}
		return false, failf(carom.ErrConflict, "the objects come from %s and are read-only here: "+fix, file, in.App, in.Name)
	}
	if dryRun {
		return true, nil
	}
	o.Sources = slices.Clone(o.Sources)
	o.Sources[i].Mode = mode
	if err := s.Objects.Apply(ctx, o); err != nil {
		return false, fmt.Errorf("freeze or thaw %s/%s: %w", in.App, in.Name, err)
	}
	return true, nil
}
