package api

import (
	"context"
	"slices"
	"strings"
	"sync"

	"carom"
)

// fakePeople keeps members and the audit log in memory. It does what the suite of stores asks for, as far as handlers rest on it.
type fakePeople struct {
	peopleMu sync.Mutex // guards all below
	members  []carom.Member
	sessions []carom.Session
	links    []carom.OneTimeLink
	filters  map[string][]carom.SavedFilter
	audit    []carom.AuditEntry // oldest first

	beforeChange func() // called as ChangeMember begins; nil: nothing is
}

func (f *fakePeople) Members(context.Context) ([]carom.Member, error) {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	return slices.Clone(f.members), nil
}

func (f *fakePeople) AnyMember(context.Context) (bool, error) {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	return len(f.members) > 0, nil
}

func (f *fakePeople) at(name string) int {
	return slices.IndexFunc(f.members, func(m carom.Member) bool { return m.ID == name || m.Email == name })
}

func (f *fakePeople) Member(_ context.Context, name string) (carom.Member, error) {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	if i := f.at(name); i >= 0 {
		return f.members[i], nil
	}
	return carom.Member{}, carom.ErrNotFound
}

func (f *fakePeople) CreateMember(_ context.Context, m carom.Member, l carom.OneTimeLink, audit ...carom.AuditEntry) error {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	if f.at(m.Email) >= 0 {
		return carom.ErrConflict
	}
	f.members, f.links, f.audit = append(f.members, m), append(f.links, l), append(f.audit, audit...)
	return nil
}

// operators says whether one of a list may sign in.
func operatorAmong(members []carom.Member) bool {
	return slices.ContainsFunc(members, func(m carom.Member) bool { return m.Role == carom.RoleOperator && !m.Disabled })
}

func (f *fakePeople) ChangeMember(_ context.Context, was, m carom.Member, audit ...carom.AuditEntry) error {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	if f.beforeChange != nil {
		f.beforeChange()
	}
	changed := slices.Clone(f.members)
	for i := range changed {
		if changed[i].ID == m.ID {
			if changed[i].Email != was.Email || changed[i].Name != was.Name || changed[i].Role != was.Role || changed[i].Disabled != was.Disabled {
				return carom.ErrChanged
			}
			changed[i] = m
		} else if changed[i].Email == m.Email {
			return carom.ErrConflict
		}
	}
	if !operatorAmong(changed) {
		return carom.ErrLastOperator
	}
	f.members, f.audit = changed, append(f.audit, audit...)
	if m.Disabled {
		f.forget(m.ID)
	}
	return nil
}

func (f *fakePeople) forget(member string) {
	f.sessions = slices.DeleteFunc(f.sessions, func(s carom.Session) bool { return s.Member == member })
	f.links = slices.DeleteFunc(f.links, func(l carom.OneTimeLink) bool { return l.Member == member })
}

func (f *fakePeople) DeleteMember(_ context.Context, id string, audit ...carom.AuditEntry) error {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	left := slices.DeleteFunc(slices.Clone(f.members), func(m carom.Member) bool { return m.ID == id })
	if !operatorAmong(left) {
		return carom.ErrLastOperator
	}
	f.members, f.audit = left, append(f.audit, audit...)
	f.forget(id)
	return nil
}

func (f *fakePeople) CreateLink(_ context.Context, l carom.OneTimeLink, audit ...carom.AuditEntry) error {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	if l.Member == "" && len(f.members) > 0 {
		return carom.ErrConflict
	}
	f.links, f.audit = append(f.links, l), append(f.audit, audit...)
	return nil
}

func (f *fakePeople) Link(_ context.Context, sum [32]byte) (carom.OneTimeLink, error) {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	for _, l := range f.links {
		if l.Sum == sum && noon().Before(l.Expires) {
			return l, nil
		}
	}
	return carom.OneTimeLink{}, carom.ErrNotFound
}

func (f *fakePeople) ClaimLink(_ context.Context, l carom.OneTimeLink, m carom.Member, s carom.Session, audit ...carom.AuditEntry) error {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	i := f.at(m.ID)
	switch {
	case !slices.Contains(f.links, l), l.Member != "" && i < 0:
		return carom.ErrNotFound
	case l.Member == "" && len(f.members) > 0:
		return carom.ErrConflict
	case l.Member == "":
		f.members = append(f.members, m)
	default:
		f.members[i].Password, f.members[i].Name = m.Password, m.Name
	}
	f.forget(l.Member)
	f.sessions, f.audit = append(f.sessions, s), append(f.audit, audit...)
	return nil
}

func (f *fakePeople) SetPassword(_ context.Context, member string, password carom.Masked, keep [32]byte, audit ...carom.AuditEntry) error {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	f.members[f.at(member)].Password = password
	f.sessions = slices.DeleteFunc(f.sessions, func(s carom.Session) bool { return s.Member == member && s.Sum != keep })
	f.audit = append(f.audit, audit...)
	return nil
}

func (f *fakePeople) CreateSession(_ context.Context, s carom.Session, audit ...carom.AuditEntry) error {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	f.sessions, f.audit = append(f.sessions, s), append(f.audit, audit...)
	return nil
}

func (f *fakePeople) Session(_ context.Context, sum [32]byte) (carom.Session, carom.Member, error) {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	for _, s := range f.sessions {
		if i := f.at(s.Member); s.Sum == sum && i >= 0 && !f.members[i].Disabled && !s.Ended(noon()) {
			return s, f.members[i], nil
		}
	}
	return carom.Session{}, carom.Member{}, carom.ErrNotFound
}

func (f *fakePeople) EndSession(_ context.Context, sum [32]byte, audit ...carom.AuditEntry) error {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	f.sessions = slices.DeleteFunc(f.sessions, func(s carom.Session) bool { return s.Sum == sum })
	f.audit = append(f.audit, audit...)
	return nil
}

func (f *fakePeople) SavedFilters(_ context.Context, member string) ([]carom.SavedFilter, error) {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	return append([]carom.SavedFilter{}, f.filters[member]...), nil
}

func (f *fakePeople) SaveFilter(_ context.Context, member string, filter carom.SavedFilter) error {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	if f.filters == nil {
		f.filters = map[string][]carom.SavedFilter{}
	}
	f.filters[member] = append(f.filters[member], filter)
	return nil
}

func (f *fakePeople) DeleteFilter(_ context.Context, member, name string) error {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	i := slices.IndexFunc(f.filters[member], func(s carom.SavedFilter) bool { return s.Name == name })
	if i < 0 {
		return carom.ErrNotFound
	}
	f.filters[member] = slices.Delete(f.filters[member], i, i+1)
	return nil
}

func (f *fakePeople) AddAudit(_ context.Context, entries ...carom.AuditEntry) error {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	f.audit = append(f.audit, entries...)
	return nil
}

func (f *fakePeople) Audit(_ context.Context, filter carom.AuditFilter) ([]carom.AuditEntry, error) {
	f.peopleMu.Lock()
	defer f.peopleMu.Unlock()
	var list []carom.AuditEntry
	for _, e := range slices.Backward(f.audit) {
		if (filter.Action == "" || filter.Action == e.Action) && strings.HasPrefix(e.Object, filter.Object) && len(list) < filter.Limit {
			list = append(list, e)
		}
	}
	return list, nil
}
