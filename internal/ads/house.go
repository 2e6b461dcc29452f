package ads

import (
	"cmp"
	"slices"
	"sort"

	"carom"
)

// house is the creatives of the house, by where they fit. It is immutable: a change makes a new one.
//
// A creative that names no zones stands in one list for all of them, so that what is kept does not grow with the number of
// zones, and a zone that is younger than the house gets the ads that fit it.
type house struct {
	everywhere map[carom.Format]*list
	own        map[spot]*list
}

// spot is a zone with a format.
type spot struct {
	zone   string
	format carom.Format
}

// list is creatives that share a spot.
type list struct {
	ads  []*Ad   // shared between lists, never changed
	ends []int64 // the weights of all up to and with each
}

// newHouse sorts creatives to where they fit. Those that have a fault are left out, and returned by name with the fault.
func newHouse(creatives []carom.Creative) (*house, map[string]error) {
	h := &house{everywhere: map[carom.Format]*list{}, own: map[spot]*list{}}
	faults := map[string]error{}
	for i := range creatives {
		c := &creatives[i]
		if err := CheckCreative(c); err != nil {
			faults[c.Name] = err
			continue
		}
		zones := slices.Clone(c.Zones)
		slices.Sort(zones)
		zones = slices.Compact(zones) // named twice, it is still one creative
		for _, f := range carom.Formats() {
			ad := adOf(c, f)
			if len(zones) == 0 && c.Fits("", f) {
				add(h.everywhere, f, ad, c.Weight)
			}
			for _, zone := range zones {
				if c.Fits(zone, f) {
					add(h.own, spot{zone, f}, ad, c.Weight)
				}
			}
		}
	}
	return h, faults
}

func add[K comparable](lists map[K]*list, key K, ad *Ad, weight int) {
	l := lists[key]
	if l == nil {
		l = &list{}
		lists[key] = l
	}
	l.ends = append(l.ends, l.total()+int64(cmp.Or(weight, 1)))
	l.ads = append(l.ads, ad)
}

// adOf makes an ad of a creative. A popup shows the page that it opens, and nothing of the creative.
func adOf(c *carom.Creative, f carom.Format) *Ad {
	ad := &Ad{
		Creative: c.Name, Title: c.Title, LandingURL: c.LandingURL,
		CloseAfter:    cmp.Or(c.CloseAfter, carom.DefaultCloseAfter),
		PerImpression: c.PerImpression, PerClick: c.PerClick,
	}
	if f != carom.RewardedPopup {
		ad.Image, ad.HTML, ad.Width, ad.Height = c.Image, c.HTML, c.Width, c.Height
	}
	return ad
}

// total is the weight of all; that of a nil list is zero.
func (l *list) total() int64 {
	if l == nil || len(l.ends) == 0 {
		return 0
	}
	return l.ends[len(l.ends)-1]
}

// at returns the ad to which the n-th unit of weight belongs.
func (l *list) at(n int64) *Ad {
	return l.ads[sort.Search(len(l.ends), func(i int) bool { return n < l.ends[i] })]
}

// choose returns a copy of a creative that fits, or nil.
func (h *house) choose(zone string, f carom.Format, random func(int64) int64) *Ad {
	everywhere, own := h.everywhere[f], h.own[spot{zone, f}]
	total := everywhere.total() + own.total()
	if total == 0 {
		return nil
	}
	n, in := random(total), everywhere
	if n >= everywhere.total() {
		n, in = n-everywhere.total(), own
	}
	ad := *in.at(n)
	return &ad
}
