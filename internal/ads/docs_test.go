package ads

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// TestDocumentedContract compares what docs/ads.md says to the authors of ad servers with what is sent and read.
func TestDocumentedContract(t *testing.T) {
	page, err := os.ReadFile("../../docs/ads.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) != 3 {
		t.Fatalf("docs/ads.md has %d blocks of JSON, want those of a question, an ad and no ad", len(blocks))
	}
	var want bytes.Buffer
	if err := json.Compact(&want, blocks[0][1]); err != nil {
		t.Fatal(err)
	}
	q := request("")
	q.ID, q.YMID, q.RequestVar, q.TelegramID = "0c5g21r0000010000000k3v2dc", "user123", "bonus-btn", "279058397"
	q.UserAgent, q.Language = "Mozilla/5.0 (Linux; Android 15)", "de-DE,de;q=0.9"
	q.Client, q.Width, q.Height = netip.MustParseAddr("198.51.100.7"), 390, 844
	got, err := json.Marshal(questionOf(&q))
	if diff := cmp.Diff(want.String(), string(got)); diff != "" || err != nil {
		t.Errorf("error %v, the question (-page +sent):\n%s", err, diff)
	}
	ad, _, err := read(string(blocks[1][1]), q.Format, carom.DefaultMaxAdPrice)
	wantAd := &Ad{
		Creative: "c-4711", FromServer: true, Title: "Spring sale at the shop", Image: "https://cdn.example/spring.png",
		LandingURL: "https://shop.example/spring", Width: 320, Height: 480, CloseAfter: 5 * time.Second,
		PerImpression: 2_000_000, PerClick: 50_000_000,
	}
	if diff := cmp.Diff(wantAd, ad); diff != "" || err != nil {
		t.Errorf("error %v, the ad (-want +got):\n%s", err, diff)
	}
	if _, o, err := read(string(blocks[2][1]), q.Format, 0); o != noFill || err != nil {
		t.Errorf("no ad: got %s, %v", o, err)
	}
}
