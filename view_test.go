package carom_test

import (
	"testing"

	"carom"
)

func TestPlacesOfViewsAndRewards(t *testing.T) {
	for _, no := range []int64{1, 1<<25 - 1, 1 << 25, 1<<25 + 1, 1 << 40} {
		id := carom.NewOpenedViewID(7, no)
		inc, got, ref, err := id.Place()
		if err != nil || inc != 7 || got != no || ref != (carom.Ref{}) || len(id) != 24 {
			t.Errorf("view %d: %s is %d, %d, %v (%v)", no, id, inc, got, ref, err)
		}
		inc, got, err = carom.NewRewardID(9, no).Number()
		if err != nil || inc != 9 || got != no {
			t.Errorf("reward %d: got %d, %d (%v)", no, inc, got, err)
		}
	}
	event := carom.NewEventID(7, carom.Ref{Bucket: 3, Seq: 4})
	if inc, no, ref, err := event.View().Place(); err != nil || inc != 7 || no != 0 || ref != (carom.Ref{Bucket: 3, Seq: 4}) {
		t.Errorf("the view of an event: %d, %d, %v (%v)", inc, no, ref, err)
	}
}

func TestViewSeal(t *testing.T) {
	seal, other := carom.ViewSeal{1}, carom.ViewSeal{2}
	id, next := carom.NewOpenedViewID(7, 1), carom.NewOpenedViewID(7, 2)
	ymid := seal.YMID(id)
	if got, ok := seal.ViewOf(ymid); !ok || got != id {
		t.Errorf("the ymid %s leads to %s, %v; want %s", ymid, got, ok, id)
	}
	if _, ok := other.ViewOf(ymid); ok {
		t.Error("a ymid is taken that another key made")
	}
	for i := range ymid {
		altered := []byte(ymid)
		if altered[i]++; altered[i] == '9'+1 {
			altered[i] = 'a'
		}
		if _, ok := seal.ViewOf(string(altered)); ok {
			t.Errorf("a ymid is taken whose digit %d is altered", i)
		}
	}
	for name, token := range map[string]string{
		"another view": seal.Token(next), "another key": other.Token(id), "the ymid": ymid, "empty": "", "cut": seal.Token(id)[:10],
	} {
		if seal.IsToken(id, token) {
			t.Errorf("the token of %s is taken", name)
		}
	}
	if !seal.IsToken(id, seal.Token(id)) {
		t.Error("a view's own token is refused")
	}
}
