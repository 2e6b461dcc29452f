package api

import (
	"slices"
	"strings"

	"carom"
)

// checkRewards looks at what rules decided: paid events that no rule counts, and reasons for declining that no operator can
// want. What a cap or a cooldown declines is meant so.
func checkRewards(f *facts) []Item {
	var items []Item
	for i := range f.Objects.Sources {
		src := &f.Objects.Sources[i]
		items = append(items, uncountedItems(f, src)...)
		items = append(items, declinedItems(f, src)...)
	}
	return items
}

// decidedCount is the counts of one source's decisions that keep selects by their outcome.
func decidedCount(f *facts, src *carom.Source, keep func(outcome string) bool) perSource {
	of := func(c carom.Count) bool { return c.App == src.App && c.Source == src.Name && keep(c.Outcome) }
	p := perSource{hour: tally(f.RewardHour, of), day: tally(f.RewardDay, of), since: first(f.RewardDay, of)}
	p.day = max(p.day, p.hour)
	return p
}

// uncountedItems tells of paid events that no rule counts. Rules that count some events of a source leave others out on
// purpose; a source of which nothing is counted is a mistake.
func uncountedItems(f *facts, src *carom.Source) []Item {
	p := decidedCount(f, src, func(outcome string) bool { return outcome == carom.OutcomeUncounted })
	if p.day == 0 {
		return nil
	}
	it := Item{
		Kind: KindRewardsUncounted, Severity: Note, Subject: "source " + src.ID(), Since: p.since, Fault: Configuration, HowMuch: p.howMuch(),
		What: "the network pays for events that no rule counts, so nobody is rewarded for them",
		Next: "nothing, if the filters of your rules mean it so; else: carom show --app " + src.App + " --source " + src.Name,
	}
	counted := decidedCount(f, src, func(outcome string) bool { return outcome != carom.OutcomeUncounted })
	if counted.day == 0 {
		it.Severity = Attention
		it.What = "the network pays for its events, and no rule counts any of them, so nobody is rewarded"
		it.Next = "add a rule for " + src.Name + " to the app " + src.App + " in your objects file, or widen the `filter` of one, then: carom apply -f carom.yaml"
	}
	return []Item{it}
}

// declinedItems tells of declines that a person has to look into, by reason.
func declinedItems(f *facts, src *carom.Source) []Item {
	var items []Item
	for _, d := range declines() {
		if !slices.Contains([]carom.DeclineReason{carom.DeclineNoUser, carom.DeclineUntrusted, carom.DeclineNoPrice, carom.DeclineNoView}, d.reason) {
			continue
		}
		prefix := carom.OutcomeReward + string(carom.RewardDeclined) + ":" + string(d.reason) + ":"
		p := decidedCount(f, src, func(outcome string) bool { return strings.HasPrefix(outcome, prefix) })
		if p.day == 0 {
			continue
		}
		items = append(items, Item{
			Kind: KindRewardsDeclined, Severity: Attention, Subject: "source " + src.ID(), Since: p.since, Fault: Configuration, HowMuch: p.howMuch(),
			What: "rewards are declined (" + string(d.reason) + ", by " + strings.Join(rulesOf(f, src, prefix), ", ") + "): " + d.what,
			Next: d.fix + "; see them: carom show --app " + src.App + " --source " + src.Name,
		})
	}
	return items
}

// rulesOf names the rules whose decisions at a source begin with prefix.
func rulesOf(f *facts, src *carom.Source, prefix string) []string {
	var rules []string
	for _, c := range append(slices.Clone(f.RewardDay), f.RewardHour...) {
		if rule, ok := strings.CutPrefix(c.Outcome, prefix); ok && c.App == src.App && c.Source == src.Name {
			rules = append(rules, rule)
		}
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}
