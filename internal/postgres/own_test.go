package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"carom"
)

func openOwn(ctx context.Context, n *node, app, ymid string) error {
	return n.OpenView(ctx, &carom.View{App: app, User: "7", YMID: ymid, Placement: "bonus", Sources: []string{"src"}, OpenedAt: n.Now(), ExpiresAt: n.Now().Add(time.Hour)})
}

func (n *node) findsOwn(t *testing.T, app, ymid string) bool {
	t.Helper()
	v, err := n.ViewByYMID(t.Context(), app, ymid)
	if err != nil {
		t.Fatalf("look for the view of %s: %v", ymid, err)
	}
	return v != nil
}

func TestEveryNodeFindsAViewOnceItIsOpened(t *testing.T) {
	t.Parallel()
	url := database(t)
	a := join(t, url, "a", 0).start(t)
	b := join(t, url, "b", 0).start(t)
	eventually(t, "both nodes have a share", func() bool { return a.hasShare(2, 0)() && b.hasShare(2, 1)() })
	for _, ymid := range []string{"one", "two"} {
		if b.findsOwn(t, "app", ymid) { // from here on it knows that there is none
			t.Fatalf("a view with the ymid %s is found before it is opened", ymid)
		}
		if err := openOwn(t.Context(), a, "app", ymid); err != nil {
			t.Fatal(err)
		}
		if !a.findsOwn(t, "app", ymid) || !b.findsOwn(t, "app", ymid) {
			t.Errorf("a node does not find the view with the ymid %s that was opened", ymid)
		}
	}
	c := join(t, url, "c", 0)
	if !c.findsOwn(t, "app", "one") {
		t.Error("a node that comes later does not find it")
	}
}

func TestAnAppsFirstOwnYMIDWaitsForAllNodes(t *testing.T) {
	t.Parallel()
	url := database(t)
	a := join(t, url, "a", 0).start(t)
	b := join(t, url, "b", 0)
	run, kill := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(run) }()
	eventually(t, "the second node has a share", b.hasShare(2, 1))
	if b.findsOwn(t, "app", "1") {
		t.Fatal("a view is found that nobody has opened")
	}
	kill(errKilled) // from here on it hears of nothing, and has its lease still
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := openOwn(ctx, a, "app", "1"); !errors.Is(err, carom.ErrUnavailable) {
		t.Fatalf("opened while another node cannot know of it: %v", err)
	}
	db := connect(t, url)
	execute(t, db, `UPDATE nodes SET seen_at = 0 WHERE name = 'b'`) // as if its lease had run out
	if err := openOwn(t.Context(), a, "app", "1"); err != nil {
		t.Fatal(err)
	}
	if n := numberOf(t, db, `SELECT known FROM own_ymids WHERE app = 'app'`); n != 1 {
		t.Errorf("known = %d, want 1: the next view would wait again", n)
	}
}

func TestNoQueryForAppsWithoutYMIDsOfTheirOwn(t *testing.T) {
	t.Parallel()
	url := database(t)
	n := join(t, url, "a", 0).start(t)
	eventually(t, "the node has a share", n.hasShare(1, 0))
	if err := openOwn(t.Context(), n, "own", "1"); err != nil {
		t.Fatal(err)
	}
	if n.findsOwn(t, "other", "1") {
		t.Error("a view of another app is found")
	}
	db := connect(t, url)
	execute(t, db, `ALTER TABLE views RENAME TO gone`)
	if n.findsOwn(t, "other", "1") {
		t.Error("a view of another app is found")
	}
	if _, err := n.ViewByYMID(t.Context(), "own", "1"); err == nil {
		t.Error("the table was not asked about an app with ymids of its own: this test shows nothing")
	}
}

// A node that was cut off and has lost its lease is still asked for views, until it has another.
func TestAViewIsOpenedWithoutALease(t *testing.T) {
	t.Parallel()
	url := database(t)
	a, b := join(t, url, "a", 0), join(t, url, "b", 0)
	a.loseLease()
	v := &carom.View{App: "app", User: "7", Placement: "bonus", Sources: []string{"src"}, OpenedAt: a.Now(), ExpiresAt: a.Now().Add(time.Hour)}
	if err := a.OpenView(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if got, err := b.View(t.Context(), v.ID); err != nil || got.YMID != v.YMID {
		t.Errorf("the other node finds %+v, %v, want the view %s", got, err, v.ID)
	}
	if err := openOwn(t.Context(), a, "app", "own"); !errors.Is(err, carom.ErrUnavailable) {
		t.Errorf("a view with a ymid of its own: %v, want carom.ErrUnavailable: nobody is certain that all nodes know of the app", err)
	}
}
