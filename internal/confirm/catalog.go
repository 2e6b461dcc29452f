package confirm

import (
	"slices"
	"time"

	"carom"
	"carom/internal/telegram"
)

// catalog is what the door knows of the objects in force. It is immutable: a change makes a new one.
type catalog struct {
	apps  map[string]*app
	zones map[string]*zone  // by their ids
	mains map[string]string // the main zone of each sub-zone
}

type app struct {
	name    string
	origins []string
	source  string             // the name of the source that its zones' events come by; empty: none
	bot     *telegram.Verifier // nil: no init data can be checked
}

// zone is a main zone with its defaults filled in.
type zone struct {
	carom.Zone
	app *app
}

// Use puts objects in force from the next request on.
func (d *Door) Use(o carom.Objects) {
	c := &catalog{apps: map[string]*app{}, zones: map[string]*zone{}, mains: map[string]string{}}
	for i := range o.Apps {
		a := &o.Apps[i]
		bot, err := telegram.Of(a)
		if err != nil {
			d.opts.Log.Warn("the users of this app cannot be verified", "app", a.Name, "error", err)
		}
		c.apps[a.Name] = &app{name: a.Name, origins: a.Origins, bot: bot}
	}
	for i := range o.Sources {
		if a := c.apps[o.Sources[i].App]; a != nil && o.Sources[i].Profile == carom.ProfileSDK {
			a.source = o.Sources[i].Name
		}
	}
	for _, z := range o.Zones {
		a := c.apps[z.App]
		if a == nil {
			continue
		}
		z.Confirm = z.Confirm.WithDefaults()
		c.zones[z.ID] = &zone{z, a}
		for _, sub := range z.SubZones {
			c.mains[sub] = z.ID
		}
	}
	d.catalog.Store(c)
}

// viewable is for how long an ad of the format has to be visible; 0: its start is enough. A popup is in a window of its own, of
// which the page sees no more than that it opened.
func (z *zone) viewable(f carom.Format) time.Duration {
	if f == carom.RewardedPopup {
		return 0
	}
	return max(z.Confirm.Viewable, 0)
}

// rulesOf are the rules that a showing is judged by: its zone's, or the defaults when the zone is gone since. How long it has to
// be visible is what its page was told: a page cannot know what was changed meanwhile.
func (c *catalog) rulesOf(s *showing) carom.ConfirmRules {
	rules := carom.ConfirmRules{}.WithDefaults()
	if z := c.zones[s.zone]; z != nil && z.App == s.app {
		rules = z.Confirm
	}
	rules.Viewable = s.viewable
	return rules
}

// shut refuses a request that no page of the app's made, or returns nil. Browsers say with each of these requests which page
// makes it, and no script can change that.
func (a *app) shut(origin string) *problem {
	if origin != "" && slices.Contains(a.origins, origin) {
		return nil
	}
	return newProblem(CodeOrigin, "apps."+a.name+".origins",
		"pages of this origin may not show ads of this app: list it, as the browser writes it, under origins of the app")
}
