package ads

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

func image(name string, change ...func(*carom.Creative)) carom.Creative {
	c := carom.Creative{Name: name, Image: "https://cdn.example/" + name + ".png", LandingURL: "https://" + name + ".example/"}
	for _, f := range change {
		f(&c)
	}
	return c
}

func weight(n int) func(*carom.Creative) { return func(c *carom.Creative) { c.Weight = n } }

func zones(ids ...string) func(*carom.Creative) { return func(c *carom.Creative) { c.Zones = ids } }

func TestHouseAd(t *testing.T) {
	whole := carom.Creative{
		Name: "spring", Title: "Spring sale", HTML: "<b>Sale</b>", Width: 320, Height: 480, LandingURL: "https://shop.example/",
		CloseAfter: 3 * time.Second, PerImpression: 2_000_000, PerClick: 50_000_000,
	}
	tests := []struct {
		name     string
		creative carom.Creative
		format   carom.Format
		want     Ad
	}{
		{"all of it", whole, carom.RewardedInterstitial, Ad{
			Creative: "spring", Title: "Spring sale", HTML: "<b>Sale</b>", Width: 320, Height: 480, LandingURL: "https://shop.example/",
			CloseAfter: 3 * time.Second, PerImpression: 2_000_000, PerClick: 50_000_000,
		}},
		{"a popup shows nothing but its page", whole, carom.RewardedPopup, Ad{
			Creative: "spring", Title: "Spring sale", LandingURL: "https://shop.example/",
			CloseAfter: 3 * time.Second, PerImpression: 2_000_000, PerClick: 50_000_000,
		}},
		{"defaults", image("a"), carom.InAppInterstitial, Ad{
			Creative: "a", Image: "https://cdn.example/a.png", LandingURL: "https://a.example/", CloseAfter: carom.DefaultCloseAfter,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.creative)
			q := request("")
			q.Format = tt.format
			got, err := r.Choose(t.Context(), q)
			if diff := cmp.Diff(&tt.want, got); diff != "" || err != nil {
				t.Fatalf("Choose: error %v, ad (-want +got):\n%s", err, diff)
			}
			got.LandingURL = "https://changed.example/" // the ad is the caller's own
			again, _ := r.Choose(t.Context(), q)
			if diff := cmp.Diff(&tt.want, again); diff != "" {
				t.Errorf("the next ad (-want +got):\n%s", diff)
			}
			r.counts(map[string]float64{"from house": 2})
		})
	}
}

// TestEachUnitOfWeight goes through every number that luck can bring.
func TestEachUnitOfWeight(t *testing.T) {
	r := newRig(t, image("one"), image("two", weight(2)), image("own", weight(4), zones("123456", "9", "123456")),
		image("paused", weight(100), func(c *carom.Creative) { c.Paused = true }), image("other", weight(50), zones("9")))
	var n, total int64
	r.opts.Random = func(most int64) int64 {
		total = most
		return n
	}
	var got []string
	for n = 0; n == 0 || n < total; n++ {
		got = append(got, r.choose(request("")))
	}
	want := []string{"one", "two", "two", "own", "own", "own", "own"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the ads of all numbers (-want +got):\n%s", diff)
	}
}

func TestProportions(t *testing.T) {
	r := newRig(t, image("one"), image("three", weight(3)), image("six", weight(6)))
	r.opts.Random = rand.New(rand.NewPCG(1, 2)).Int64N
	const draws = 100_000
	got := map[string]int{}
	for range draws {
		got[r.choose(request(""))]++
	}
	for name, want := range map[string]int{"one": draws / 10, "three": 3 * draws / 10, "six": 6 * draws / 10} {
		if got[name] < want*98/100 || got[name] > want*102/100 {
			t.Errorf("%s was shown %d times of %d, want about %d", name, got[name], draws, want)
		}
	}
}

// TestFits compares what can be shown, for every zone and format, with what the creatives themselves say.
func TestFits(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	ids := []string{"1", "2", "3", "4"}
	for round := range 50 {
		var creatives []carom.Creative
		for i := range random.IntN(12) {
			c := image(fmt.Sprint("c", i))
			c.Paused = random.IntN(4) == 0
			for range random.IntN(3) {
				c.Zones = append(c.Zones, ids[random.IntN(3)])
			}
			for range random.IntN(3) {
				c.Formats = append(c.Formats, carom.Formats()[random.IntN(3)])
			}
			creatives = append(creatives, c)
		}
		r := newRig(t, creatives...)
		for _, zone := range ids { // no creative names the last one
			for _, f := range carom.Formats() {
				var want, got []string
				for i := range creatives {
					if creatives[i].Fits(zone, f) {
						want = append(want, creatives[i].Name)
					}
				}
				q := request("")
				q.Zone.ID, q.Format = zone, f
				for n := range int64(len(want)) {
					r.opts.Random = func(total int64) int64 {
						if total != int64(len(want)) {
							t.Fatalf("round %d, zone %s, %s: %d units of weight, want %d", round, zone, f, total, len(want))
						}
						return n
					}
					got = append(got, r.choose(q))
				}
				if len(want) == 0 && r.choose(q) != "" {
					t.Fatalf("round %d, zone %s, %s: an ad is shown, want none", round, zone, f)
				}
				slices.Sort(got)
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("round %d, zone %s, %s (-want +got):\n%s", round, zone, f, diff)
				}
			}
		}
	}
}

func TestNoFill(t *testing.T) {
	paused := request("")
	paused.Zone.Paused = true
	popup := request("")
	popup.Format = carom.RewardedPopup
	only := image("a", func(c *carom.Creative) { c.Formats = []carom.Format{carom.RewardedInterstitial} })
	tests := []struct {
		name      string
		creatives []carom.Creative
		request   Request
	}{
		{"no creatives", nil, request("")},
		{"another zone's", []carom.Creative{image("a", zones("9"))}, request("")},
		{"another format's", []carom.Creative{only}, popup},
		{"a paused zone", []carom.Creative{image("a")}, paused},
		{"a creative with a fault", []carom.Creative{{Name: "a", Image: "http://cdn.example/a.png", LandingURL: "https://a.example/"}}, request("")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.creatives...)
			if got := r.choose(tt.request); got != "" {
				t.Errorf("got %q, want no ad", got)
			}
			r.counts(map[string]float64{"from none": 1})
		})
	}
	if New(Options{}).house.Load().choose("1", carom.RewardedPopup, nil) != nil {
		t.Error("a chooser that was given nothing shows an ad")
	}
}

// TestUseSwapsAtOnce: whoever chooses meanwhile sees the creatives of before or of after.
func TestUseSwapsAtOnce(t *testing.T) {
	r := newRig(t)
	r.opts.Random = rand.Int64N
	versions := []carom.Objects{
		{Creatives: []carom.Creative{image("a1"), image("a2", zones("123456"))}},
		{Creatives: []carom.Creative{image("b1", zones("123456")), image("b2")}},
	}
	r.Use(versions[0])
	url := answer(t, 204, "")
	done := make(chan struct{})
	var choosing sync.WaitGroup
	for i := range 3 {
		choosing.Go(func() {
			q := request("")
			if i == 0 { // while Use forgets ad servers
				q = request(url)
			}
			for {
				select {
				case <-done:
					return
				default:
				}
				ad, err := r.Choose(t.Context(), q)
				if err != nil || ad == nil || !slices.Contains([]string{"a1", "a2", "b1", "b2"}, ad.Creative) {
					t.Errorf("Choose: ad %v, error %v, want one of either version", ad, err)
					return
				}
			}
		})
	}
	for i := range 300 {
		r.Use(versions[i%2])
		want := "ab"[i%2]
		if got := r.choose(request("")); got == "" || got[0] != want {
			t.Fatalf("after Use: got %q, want one whose name begins with %c", got, want)
		}
	}
	close(done)
	choosing.Wait()
}

func BenchmarkChoose(b *testing.B) {
	var creatives []carom.Creative
	for i := range 100 {
		c := image(fmt.Sprint("c", i), weight(1+i%7))
		if i%2 == 0 {
			c.Zones = []string{"123456"}
		}
		creatives = append(creatives, c)
	}
	c := New(Options{})
	c.Use(carom.Objects{Creatives: creatives})
	q := request("")
	b.ReportAllocs()
	for b.Loop() {
		if ad, err := c.Choose(b.Context(), q); ad == nil || err != nil {
			b.Fatal("no ad", err)
		}
	}
}
