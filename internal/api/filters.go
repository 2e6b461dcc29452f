package api

import (
	"context"
	"errors"
	"fmt"

	"carom"
)

// FilterList is what the member who asks has saved.
type FilterList struct {
	Filters []carom.SavedFilter `json:"filters" nullable:"false"`
}

type filtersOut struct{ Body FilterList }

func (s *service) listFilters(ctx context.Context, _ *struct{}) (*filtersOut, error) {
	list, err := s.Store.SavedFilters(ctx, callerOf(ctx).id)
	if err != nil {
		return nil, err
	}
	return &filtersOut{FilterList{list}}, nil
}

// FilterPath names a saved filter.
type FilterPath struct {
	Name string `path:"name" maxLength:"100"`
}

// NewFilter is a filter to save.
type NewFilter struct {
	Page  string `json:"page" minLength:"1" maxLength:"100" doc:"Of the dashboard: events"`
	Query string `json:"query" maxLength:"2000" doc:"As in the page's URL, without the question mark"`
}

type saveFilterIn struct {
	FilterPath
	Body NewFilter
}

type filterOut struct{ Body carom.SavedFilter }

func (s *service) saveFilter(ctx context.Context, in *saveFilterIn) (*filterOut, error) {
	if err := checkLine("name", in.Name); err != nil {
		return nil, err
	}
	f := carom.SavedFilter{Name: in.Name, Page: in.Body.Page, Query: in.Body.Query}
	err := s.Store.SaveFilter(ctx, callerOf(ctx).id, f)
	if errors.Is(err, carom.ErrConflict) {
		return nil, failf(carom.ErrConflict, "you have saved as many filters as there may be: delete one first")
	}
	if err != nil {
		return nil, fmt.Errorf("save a filter: %w", err)
	}
	return &filterOut{f}, nil
}

func (s *service) deleteFilter(ctx context.Context, in *FilterPath) (*struct{}, error) {
	err := s.Store.DeleteFilter(ctx, callerOf(ctx).id, in.Name)
	if errors.Is(err, carom.ErrNotFound) {
		return nil, failf(carom.ErrNotFound, "you have saved no filter %q: GET /v1/filters lists them", in.Name)
	}
	return nil, err
}
