package objects

import (
	"slices"
	"strconv"
	"strings"

	"carom"
)

// ruleFields shows rules as the file writes them, with the short form of a fixed price.
func ruleFields(o carom.Objects) map[string][]shownField {
	out := make(map[string][]shownField, len(o.Rules))
	for _, r := range o.Rules {
		id := r.ID()
		r = r.WithDefaults()
		list := []shownField{
			{name: "filter.networks", value: listText(r.Filter.Networks)},
			{name: "filter.sources", value: listText(r.Filter.Sources)},
			{name: "filter.zones", value: listText(r.Filter.Zones)},
			{name: "filter.event_types", value: listText(r.Filter.EventTypes)},
			{name: "filter.values", value: valuesText(r.Filter.Values)},
			{name: "filter.request_vars", value: listText(r.Filter.RequestVars)},
		}
		list = append(list, priceFields(&r.Price)...)
		list = append(list, shownField{name: "additional", value: strconv.FormatBool(r.Additional)})
		for i := range r.Caps {
			list = append(list, shownField{name: indexed("caps", i), value: capText(&r.Caps[i])})
		}
		if r.Cooldown != 0 {
			list = append(list, shownField{name: "cooldown", value: carom.FormatDuration(r.Cooldown)})
		}
		if r.Hold != 0 {
			list = append(list, shownField{name: "hold", value: carom.FormatDuration(r.Hold)})
		}
		out[id] = list
	}
	return out
}

// priceFields shows a price that has its defaults.
func priceFields(p *carom.PriceRule) []shownField {
	if p.From == "" {
		return []shownField{{name: "price", value: strings.TrimSpace(p.Fixed.String() + " " + p.Currency)}}
	}
	list := []shownField{
		{name: "price.from", value: p.From},
		{name: "price.currency", value: p.Currency},
		{name: "price.min", value: p.Min.String()},
		{name: "price.max", value: p.Max.String()},
	}
	defaults := carom.Rule{Price: carom.PriceRule{From: p.From}}.WithDefaults().Price
	if p.Rate != defaults.Rate {
		list = append(list, shownField{name: "price.rate", value: p.Rate.String()})
	}
	if p.Share != defaults.Share {
		list = append(list, shownField{name: "price.share", value: p.Share.String()})
	}
	if p.Step != 0 {
		list = append(list, shownField{name: "price.step", value: p.Step.String()})
	}
	if p.Round != defaults.Round {
		list = append(list, shownField{name: "price.round", value: p.Round})
	}
	if p.TrustSecret {
		list = append(list, shownField{name: "price.trust", value: string(carom.Secret)})
	}
	return list
}

// capText shows a cap. The order in which the file lists what it counts per makes no difference.
func capText(c *carom.Cap) string {
	var per []string
	for _, word := range []string{carom.CapUser, carom.CapDay, carom.CapRule} {
		if slices.Contains(c.Per, word) {
			per = append(per, word)
		}
	}
	text := "per: " + listText(per)
	if c.Name != "" {
		text = "name: " + c.Name + ", " + text
	}
	if c.Rewards != 0 {
		text += ", rewards: " + strconv.Itoa(c.Rewards)
	}
	if c.Amount.Set {
		text += ", amount: " + c.Amount.String()
	}
	return "{ " + text + " }"
}
