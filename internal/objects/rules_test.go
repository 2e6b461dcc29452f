package objects

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// TestRewardsPage: what the page on rewards shows can be put in force, without a warning.
func TestRewardsPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "rewards.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllSubmatch(page, -1)
	if len(blocks) == 0 {
		t.Fatal("the page shows no objects file")
	}
	for _, block := range blocks {
		file, err := Parse("rewards.md", block[1], Env{})
		if err != nil {
			t.Errorf("%v in\n%s", err, block[1])
			continue
		}
		if len(file.Objects.Rules) == 0 || len(file.Warnings) > 0 {
			t.Errorf("%d rules with the warnings %v in\n%s", len(file.Objects.Rules), file.Warnings, block[1])
		}
	}
}

func TestWarningsHaveAPlace(t *testing.T) {
	file, err := Parse("f", []byte(`apps:
  game:
    currencies: { coins: 0 }
    sources:
      m: { profile: monetag }
    rules:
      late:
        price:
          from: reward_amount
          currency: coins
          max: 9
        additional: true
      early: { price: 5 coins, filter: { event_types: click, networks: [admob] } }
      other: { price: 6 coins, filter: { event_types: impression, networks: [admob] } }
`), Env{})
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Line, Column int
		Field        string
	}
	var got []row
	for _, w := range file.Warnings {
		got = append(got, row{w.Line, w.Column, w.Field})
	}
	want := []row{
		{9, 11, "apps.game.rules.late.price.from"},
		{13, 32, "apps.game.rules.early.filter"},
		{14, 16, "apps.game.rules.other.price"},
		{14, 32, "apps.game.rules.other.filter"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s\n%v", diff, file.Warnings)
	}
}

// TestShortPrices: the short form of a price is one amount and one currency.
func TestShortPrices(t *testing.T) {
	tests := []struct {
		text string
		want carom.PriceRule // zero: a fault
	}{
		{"5 coins", carom.PriceRule{Currency: "coins", Fixed: carom.Price{Nanos: 5_000_000_000, Set: true}}},
		{"0.05   USD", carom.PriceRule{Currency: "USD", Fixed: carom.Price{Nanos: 50_000_000, Set: true}}},
		{"-1 coins", carom.PriceRule{Currency: "coins", Fixed: carom.Price{Nanos: -1_000_000_000, Set: true}}}, // which the rules refuse
		{text: "5"}, {text: ""}, {text: "coins 5"}, {text: "5coins"}, {text: "5 gold coins"}, {text: " 5 coins"}, {text: "5,5 coins"},
		{text: "0.0000000001 USD"}, {text: "1e99 USD"}, {text: "NaN USD"},
	}
	for _, tt := range tests {
		got, fault := fixedPrice(tt.text)
		if (fault != "") != (tt.want == carom.PriceRule{}) || fault == "" && got != tt.want {
			t.Errorf("fixedPrice(%q) = %+v, %q; want %+v", tt.text, got, fault, tt.want)
		}
	}
}
