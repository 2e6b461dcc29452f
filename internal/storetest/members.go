package storetest

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// unmasked lets cmp compare password hashes, which print as asterisks.
var unmasked = cmp.Transformer("unmasked", func(m carom.Masked) string { return string(m) })

func aMember(n int, role carom.Role) carom.Member {
	return carom.Member{ID: fmt.Sprintf("mbr_%d", n), Email: fmt.Sprintf("m%d@example.com", n), Name: fmt.Sprintf("M. %d", n), Role: role, Created: noon}
}

func sumOf(text string) [32]byte { return sha256.Sum256([]byte(text)) }

func linkTo(text, member string) carom.OneTimeLink {
	return carom.OneTimeLink{Sum: sumOf(text), Member: member, Created: noon, Expires: noon.Add(carom.OneTimeLinkFor)}
}

func sessionOf(text, member string, at time.Time) carom.Session {
	return carom.Session{Sum: sumOf(text), Member: member, Created: at, Seen: at}
}

// must fails the test at an error, and is for what the test only needs.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func membersComeBack(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	if some, err := s.AnyMember(t.Context()); err != nil || some {
		t.Errorf("AnyMember at first = %v, %v", some, err)
	}
	operator, viewer := aMember(1, carom.RoleOperator), aMember(2, carom.RoleViewer)
	must(t, s.CreateMember(t.Context(), viewer, linkTo("link 2", viewer.ID)))
	must(t, s.CreateMember(t.Context(), operator, linkTo("link 1", operator.ID)))
	same := aMember(3, carom.RoleViewer)
	same.Email = viewer.Email
	wants(t, "CreateMember with another's e-mail address", s.CreateMember(t.Context(), same, linkTo("link 3", same.ID)), carom.ErrConflict)
	if _, err := s.Link(t.Context(), sumOf("link 3")); !errors.Is(err, carom.ErrNotFound) {
		t.Errorf("the link of a member that was not made: %v", err)
	}

	was := viewer
	viewer.Role, viewer.Publisher, viewer.Name = carom.RolePublisher, "acme", "Someone"
	must(t, s.ChangeMember(t.Context(), was, viewer))
	wants(t, "ChangeMember of what it was before", s.ChangeMember(t.Context(), was, aMember(2, carom.RoleSupport)), carom.ErrChanged)
	for _, change := range []func(*carom.Member){
		func(m *carom.Member) { m.Email = "x@example.com" }, func(m *carom.Member) { m.Name = "x" }, func(m *carom.Member) { m.Role = carom.RoleViewer },
		func(m *carom.Member) { m.Publisher = "x" }, func(m *carom.Member) { m.Disabled = true },
	} {
		other := viewer
		change(&other)
		wants(t, fmt.Sprintf("ChangeMember of %+v", other), s.ChangeMember(t.Context(), other, aMember(2, carom.RoleSupport)), carom.ErrChanged)
	}
	must(t, s.SetPassword(t.Context(), viewer.ID, "a hash", [32]byte{}))
	viewer.Password = "a hash"
	taken := viewer
	taken.Email = operator.Email
	wants(t, "ChangeMember to another's e-mail address", s.ChangeMember(t.Context(), viewer, taken), carom.ErrConflict)
	wants(t, "ChangeMember of nobody", s.ChangeMember(t.Context(), aMember(9, carom.RoleViewer), aMember(9, carom.RoleViewer)), carom.ErrNotFound)
	wants(t, "SetPassword of nobody", s.SetPassword(t.Context(), "mbr_9", "a hash", [32]byte{}), carom.ErrNotFound)
	wants(t, "DeleteMember of nobody", s.DeleteMember(t.Context(), "mbr_9"), carom.ErrNotFound)
	_, err := s.Member(t.Context(), "m9@example.com")
	wants(t, "Member that is not there", err, carom.ErrNotFound)

	for _, where := range []string{"at once", "after reopening"} {
		list, err := s.Members(t.Context())
		if diff := cmp.Diff([]carom.Member{operator, viewer}, list, unmasked); err != nil || diff != "" {
			t.Errorf("Members %s, %v (-want +got):\n%s", where, err, diff)
		}
		for _, name := range []string{viewer.ID, viewer.Email} {
			got, err := s.Member(t.Context(), name)
			if diff := cmp.Diff(viewer, got, unmasked); err != nil || diff != "" {
				t.Errorf("Member %s %s, %v (-want +got):\n%s", name, where, err, diff)
			}
		}
		if some, err := s.AnyMember(t.Context()); err != nil || !some {
			t.Errorf("AnyMember %s = %v, %v", where, some, err)
		}
		s.restart(t)
	}
	must(t, s.DeleteMember(t.Context(), viewer.ID))
	if found := s.place.Find(t, viewer.ID); len(found) > 0 {
		t.Errorf("of a member that was removed is left: %v", found)
	}
	if text, err := json.Marshal(viewer); err != nil || strings.Contains(string(text), "a hash") {
		t.Errorf("JSON of a member, %v, shows its hash: %s", err, text)
	}
}

func lastOperatorStays(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	viewer := aMember(4, carom.RoleViewer)
	must(t, s.CreateMember(t.Context(), viewer, linkTo("4", viewer.ID)))
	must(t, s.DeleteMember(t.Context(), viewer.ID)) // as long as there is no operator, none is taken away
	first, second := aMember(1, carom.RoleOperator), aMember(2, carom.RoleOperator)
	must(t, s.CreateMember(t.Context(), first, linkTo("1", first.ID)))
	must(t, s.CreateMember(t.Context(), second, linkTo("2", second.ID)))
	must(t, s.CreateMember(t.Context(), aMember(3, carom.RoleViewer), linkTo("3", "mbr_3")))
	enabled := second
	second.Disabled = true
	must(t, s.ChangeMember(t.Context(), enabled, second))
	_, err := s.Link(t.Context(), sumOf("2"))
	wants(t, "the link of a disabled member", err, carom.ErrNotFound)

	demoted, disabled := first, first
	demoted.Role, disabled.Disabled = carom.RoleSupport, true
	wants(t, "demote the last operator", s.ChangeMember(t.Context(), first, demoted), carom.ErrLastOperator)
	wants(t, "disable the last operator", s.ChangeMember(t.Context(), first, disabled), carom.ErrLastOperator)
	wants(t, "remove the last operator", s.DeleteMember(t.Context(), first.ID), carom.ErrConflict)
	if got, err := s.Member(t.Context(), first.ID); err != nil || got.Role != carom.RoleOperator || got.Disabled {
		t.Errorf("the last operator is %+v, %v", got, err)
	}
	must(t, s.ChangeMember(t.Context(), second, enabled))
	must(t, s.DeleteMember(t.Context(), first.ID))
}

func linksCountOnce(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	first := aMember(1, carom.RoleOperator)
	first.Password = "a hash"
	setup, other, late := linkTo("set up", ""), linkTo("set up as well", ""), linkTo("late", "")
	late.Expires = noon.Add(time.Minute)
	for _, l := range []carom.OneTimeLink{setup, other, late} {
		must(t, s.CreateLink(t.Context(), l))
	}
	if got, err := s.Link(t.Context(), late.Sum); err != nil || got != late {
		t.Errorf("Link = %+v, %v", got, err)
	}
	s.advance(time.Minute)
	_, err := s.Link(t.Context(), late.Sum)
	wants(t, "a link whose time is over", err, carom.ErrNotFound)
	session := sessionOf("s1", first.ID, s.now())
	wants(t, "claim it", s.ClaimLink(t.Context(), late, first, session), carom.ErrNotFound)
	must(t, s.ClaimLink(t.Context(), setup, first, session, carom.AuditEntry{Action: "claim-link"}))
	wants(t, "claim it again", s.ClaimLink(t.Context(), setup, aMember(2, carom.RoleOperator), session), carom.ErrNotFound)
	wants(t, "claim the other one", s.ClaimLink(t.Context(), other, aMember(2, carom.RoleOperator), sessionOf("s2", "mbr_2", s.now())), carom.ErrNotFound)
	wants(t, "make another one", s.CreateLink(t.Context(), linkTo("x", "")), carom.ErrConflict)
	wants(t, "make one for nobody", s.CreateLink(t.Context(), linkTo("x", "mbr_9")), carom.ErrNotFound)
	if _, m, err := s.Session(t.Context(), session.Sum); err != nil || m.ID != first.ID || m.Password != "a hash" {
		t.Errorf("the session of a link: %+v, %v", m, err)
	}

	// Another link to a member ends what let it in before, once it is used.
	reset, unused := linkTo("reset", first.ID), linkTo("unused", first.ID)
	must(t, s.CreateLink(t.Context(), reset))
	must(t, s.CreateLink(t.Context(), unused))
	if _, _, err := s.Session(t.Context(), session.Sum); err != nil {
		t.Errorf("the session has ended before the link was used: %v", err)
	}
	s.restart(t)
	changed := first
	changed.Password, changed.Name = "another", ""
	must(t, s.ClaimLink(t.Context(), reset, changed, sessionOf("s3", first.ID, s.now())))
	if got, err := s.Member(t.Context(), first.ID); err != nil || got.Password != "another" || got.Name != first.Name {
		t.Errorf("after the reset: %+v, %v", got, err)
	}
	_, _, err = s.Session(t.Context(), session.Sum)
	wants(t, "the session of before", err, carom.ErrNotFound)
	_, err = s.Link(t.Context(), unused.Sum)
	wants(t, "the link that was not used", err, carom.ErrNotFound)
}

func sessionsEnd(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	m := aMember(1, carom.RoleOperator)
	must(t, s.CreateMember(t.Context(), m, linkTo("1", m.ID)))
	must(t, s.CreateMember(t.Context(), aMember(2, carom.RoleOperator), linkTo("2", "mbr_2")))
	counts := func(text string, want bool) {
		t.Helper()
		got, member, err := s.Session(t.Context(), sumOf(text))
		if want && (err != nil || got.Member != m.ID || member.ID != m.ID) || !want && !errors.Is(err, carom.ErrNotFound) {
			t.Errorf("session %s: %+v of %+v, %v, want that it counts: %v", text, got, member, err, want)
		}
	}
	start := func(text string) { t.Helper(); must(t, s.CreateSession(t.Context(), sessionOf(text, m.ID, s.now()))) }
	wants(t, "a session of nobody", s.CreateSession(t.Context(), sessionOf("x", "mbr_9", s.now())), carom.ErrNotFound)

	start("a")
	start("b")
	counts("a", true)
	counts("nobody's", false)
	must(t, s.EndSession(t.Context(), sumOf("b")))
	must(t, s.EndSession(t.Context(), sumOf("b")))
	counts("b", false)
	start("c")
	must(t, s.SetPassword(t.Context(), m.ID, "a hash", sumOf("a")))
	counts("a", true)
	counts("c", false)

	// Used again and again, it lives on for 30 days; unused, for 7.
	for range 29 {
		s.advance(day)
		counts("a", true)
		must(t, s.StoreUses(t.Context()))
		s.restart(t)
	}
	if got, err := s.Member(t.Context(), m.ID); err != nil || !got.LastSeen.Equal(s.now()) {
		t.Errorf("the member was last seen at %v, %v, want %v", got.LastSeen, err, s.now())
	}
	s.advance(day)
	counts("a", false)
	start("d")
	s.advance(carom.SessionIdleFor)
	counts("d", false)
	must(t, s.Prune(t.Context()))

	start("e")
	disabled := m
	disabled.Disabled = true
	must(t, s.ChangeMember(t.Context(), m, disabled))
	counts("e", false)
	wants(t, "a session of a disabled member", s.CreateSession(t.Context(), sessionOf("f", m.ID, s.now())), carom.ErrNotFound)
	must(t, s.ChangeMember(t.Context(), disabled, m))
	counts("e", false) // it does not come back
	for i := range 25 {
		s.tick()
		start(fmt.Sprint("many ", i))
	}
	counts("many 4", false)
	counts("many 5", true)
}

func savedFilters(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	f := carom.SavedFilter{Name: "refused today", Page: "events", Query: "outcome=refused"}
	must(t, s.SaveFilter(t.Context(), "mbr_1", f))
	must(t, s.SaveFilter(t.Context(), "mbr_1", carom.SavedFilter{Name: "a", Page: "events"}))
	f.Query = "outcome=held"
	must(t, s.SaveFilter(t.Context(), "mbr_1", f))
	s.restart(t)
	list, err := s.SavedFilters(t.Context(), "mbr_1")
	if diff := cmp.Diff([]carom.SavedFilter{{Name: "a", Page: "events"}, f}, list); err != nil || diff != "" {
		t.Errorf("SavedFilters, %v (-want +got):\n%s", err, diff)
	}
	if list, err := s.SavedFilters(t.Context(), "mbr_2"); err != nil || len(list) != 0 {
		t.Errorf("SavedFilters of another = %v, %v", list, err)
	}
	wants(t, "DeleteFilter of another's", s.DeleteFilter(t.Context(), "mbr_2", f.Name), carom.ErrNotFound)
	must(t, s.DeleteFilter(t.Context(), "mbr_1", f.Name))
	wants(t, "DeleteFilter twice", s.DeleteFilter(t.Context(), "mbr_1", f.Name), carom.ErrNotFound)
	for i := range 99 {
		must(t, s.SaveFilter(t.Context(), "mbr_1", carom.SavedFilter{Name: fmt.Sprint(i), Page: "events"}))
	}
	wants(t, "one filter too many", s.SaveFilter(t.Context(), "mbr_1", f), carom.ErrConflict)
}

func keyUses(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	k := carom.APIKey{ID: "key_1", Name: "a", Scope: carom.ScopeRead, Created: noon, Sum: sumOf("key")}
	must(t, s.CreateKey(t.Context(), k))
	used := func(want time.Time) {
		t.Helper()
		keys, err := s.Keys(t.Context())
		if err != nil || len(keys) != 1 || !keys[0].LastUsed.Equal(want) {
			t.Errorf("Keys = %+v, %v, want one that was last used at %v", keys, err, want)
		}
	}
	used(time.Time{})
	s.KeyBySum(k.Sum)
	used(noon)
	s.advance(59 * time.Second)
	s.KeyBySum(k.Sum)
	used(noon) // to the minute
	must(t, s.StoreUses(t.Context()))
	s.restart(t)
	used(noon)
	s.advance(time.Hour)
	s.KeyBySum(k.Sum)
	used(s.now())
}

func auditComesWithChanges(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	entry := carom.AuditEntry{
		Actor: carom.Actor{Kind: carom.ActorMember, ID: "mbr_1", Name: "Mia", Role: "operator"}, Action: "put-app", Object: "app/game", Outcome: carom.AuditDone,
		Status: 200, Why: "a test", Changes: []carom.AuditChange{{Field: "title", Before: "a", After: "b"}}, Address: "192.0.2.1",
	}
	o, err := s.SetObjects(t.Context(), carom.Objects{Apps: []carom.App{{Name: "game"}}}, entry)
	must(t, err)
	if _, err := s.SetObjects(t.Context(), carom.Objects{Version: o.Version + 7}, entry); !errors.Is(err, carom.ErrConflict) {
		t.Fatalf("SetObjects of another version: %v", err)
	}
	k := carom.APIKey{ID: "key_1", Name: "a", Scope: carom.ScopeRead, Created: noon, Sum: sumOf("key")}
	must(t, s.CreateKey(t.Context(), k, carom.AuditEntry{Action: "create-key"}))
	wants(t, "CreateKey twice", s.CreateKey(t.Context(), k, carom.AuditEntry{Action: "create-key"}), carom.ErrConflict)
	must(t, s.DeleteKey(t.Context(), k.ID, carom.AuditEntry{Action: "delete-key"}))
	wants(t, "DeleteKey twice", s.DeleteKey(t.Context(), k.ID, carom.AuditEntry{Action: "delete-key"}), carom.ErrNotFound)
	m := aMember(1, carom.RoleOperator)
	must(t, s.CreateMember(t.Context(), m, linkTo("1", m.ID), carom.AuditEntry{Action: "create-member"}))
	wants(t, "DeleteMember of the last one", s.DeleteMember(t.Context(), m.ID, carom.AuditEntry{Action: "delete-member"}), carom.ErrLastOperator)
	s.crash(t)

	list, err := s.Audit(t.Context(), carom.AuditFilter{})
	var actions []string
	for _, e := range list {
		actions = append(actions, e.Action)
	}
	if diff := cmp.Diff([]string{"create-member", "delete-key", "create-key", "put-app"}, actions); err != nil || diff != "" {
		t.Fatalf("the actions in the log, %v (-want +got):\n%s", err, diff)
	}
	entry.ID, entry.At = list[3].ID, noon
	if diff := cmp.Diff(entry, list[3]); diff != "" || list[3].ID == "" {
		t.Errorf("the entry (-want +got):\n%s", diff)
	}
}

func auditPageByPage(t *testing.T, open Opener) {
	s := begin(t, open, Options{AuditRetention: 10 * day})
	for i := range 10 {
		e := carom.AuditEntry{Actor: carom.Actor{Kind: carom.ActorKey, ID: fmt.Sprint("key_", i%2), Name: "ci"}, Action: []string{"put-app", "resend"}[i%2],
			Object: fmt.Sprintf("endpoint/game/%d", i), Outcome: carom.AuditDone}
		if i == 9 {
			e.Outcome, e.Object = carom.AuditRefused, "endpoint/games/9"
		}
		must(t, s.AddAudit(t.Context(), e))
		s.advance(time.Hour)
	}
	find := func(f carom.AuditFilter, want int) (last carom.AuditID) {
		t.Helper()
		list, err := s.Audit(t.Context(), f)
		if err != nil || len(list) != want {
			t.Fatalf("Audit(%+v) = %d entries, %v, want %d", f, len(list), err, want)
		}
		if want > 0 {
			last = list[want-1].ID
		}
		return last
	}
	find(carom.AuditFilter{}, 10)
	find(carom.AuditFilter{Actor: "key_1"}, 5)
	find(carom.AuditFilter{Actor: "ci", Action: "put-app"}, 5)
	find(carom.AuditFilter{Object: "endpoint/game/"}, 9)
	find(carom.AuditFilter{Object: "endpoint/game/3"}, 1)
	find(carom.AuditFilter{Outcome: carom.AuditRefused}, 1)
	find(carom.AuditFilter{From: noon.Add(time.Hour), To: noon.Add(3 * time.Hour)}, 2)
	last := find(carom.AuditFilter{Limit: 4}, 4)
	last = find(carom.AuditFilter{Limit: 4, Before: last}, 4)
	find(carom.AuditFilter{Limit: 4, Before: last}, 2)
	_, err := s.Audit(t.Context(), carom.AuditFilter{Before: "evt_x"})
	wants(t, "a foreign cursor", err, carom.ErrInvalid)
	s.set(noon.Add(10*day + 150*time.Minute))
	must(t, s.Prune(t.Context()))
	find(carom.AuditFilter{}, 7)
}
