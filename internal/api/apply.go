package api

import (
	"context"
	"fmt"
	"slices"

	"carom"
)

// Applied is what an apply did, or with dry_run would do.
type Applied struct {
	Applied bool         `json:"applied" doc:"Whether it is in force: false for a dry run, and when nothing differs"`
	Changes []Change     `json:"changes" nullable:"false"`
	Made    []MadeSecret `json:"made" nullable:"false" doc:"URLs of sources that are new, or whose secret was made just now. Shown once"`
}

type applyIn struct {
	DryRun  bool   `query:"dry_run" doc:"Only show what would change"`
	Prune   bool   `query:"prune" doc:"Remove what the file does not name"`
	RawBody []byte `contentType:"application/yaml"`
}

type applyOut struct{ Body Applied }

func (s *service) apply(ctx context.Context, in *applyIn) (*applyOut, error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	s.change.Lock()
	defer s.change.Unlock()
	want, changes, made, err := s.Objects.Plan(in.RawBody, in.Prune)
	if err != nil {
		return nil, err
	}
	out := &applyOut{Applied{Changes: changes, Made: []MadeSecret{}}}
	if changes == nil {
		out.Body.Changes = []Change{}
	}
	if in.DryRun {
		return out, nil
	}
	if file := s.Objects.File(); file != "" {
		return nil, failf(carom.ErrConflict, "the objects come from %s and are read-only here: edit that file, it is read again by itself", file)
	}
	if !slices.ContainsFunc(changes, func(ch Change) bool { return ch.Action != changeKept }) {
		return out, nil
	}
	if err := s.Objects.Apply(ctx, want); err != nil {
		return nil, fmt.Errorf("apply: %w", err)
	}
	out.Body.Applied = true
	if made != nil {
		out.Body.Made = made
	}
	return out, nil
}
