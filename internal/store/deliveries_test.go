package store

import (
	"fmt"
	"testing"

	"carom"
)

// shownDeliveries writes each delivery of a page as "ymid state attempts".
func shownDeliveries(list []*carom.Story) []string {
	out := []string{}
	for _, st := range list {
		for _, d := range st.Deliveries {
			out = append(out, fmt.Sprintf("%s %s %d", st.Event.YMID, d.State, len(d.Attempts)))
		}
	}
	return out
}

// What is rare is looked for within bounds, page by page, and found in the end.
func TestDeliveriesLooksWithinBounds(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{})
	accept(t, s, submission("rare", noon, direct(2)))
	acceptMany(t, s, "many", 30, noon, direct(1))
	p := deliveryPage{s: s, endpoint: 2, limit: 50, chunk: 5}
	pages := 0
	for end := uint32(32); len(p.list) == 0 && pages < 40; pages++ {
		p.scan, p.stories, p.next = 1, 1, ""
		if err := p.bucket(t.Context(), 1, 0, end); err != nil {
			t.Fatal(err)
		}
		if p.next != "" {
			_, ref, err := p.next.Place()
			if err != nil {
				t.Fatal(err)
			}
			end = ref.Seq
		}
	}
	if len(p.list) != 1 || p.list[0].Event.YMID != "rare" || pages != 7 {
		t.Errorf("found %v after %d pages", shownDeliveries(p.list), pages)
	}
}
