package carom

// Person is everything that is kept about a user of an app. What is gone by retention is not in it.
type Person struct {
	App, User string
	Balances  []Balance
	Lines     []LedgerLine // newest first, like the rest
	Rewards   []*Reward
	Views     []*View
	Stories   []*Story
	Refused   []*Refused // those that name the user
}

// Waiting is how many of the user's events have a delivery that waits, and how many rewards are held. Both will name the user once
// more.
func (p *Person) Waiting() (n int) {
	for _, st := range p.Stories {
		for _, d := range st.Deliveries {
			if d.State == Pending {
				n++
				break
			}
		}
	}
	for _, r := range p.Rewards {
		if r.State == RewardHeld {
			n++
		}
	}
	return n
}

// Erased is what became of a user who was erased. Ledger lines, rewards and counts stay, under a name that says nothing.
type Erased struct {
	As      string // "erased-…", the account's name from now on
	Rewards int    // with their lines
	Views   int
	Events  int // with what was received and sent for them
	Refused int // with unverified ones
	Waiting int // deliveries and holds of the user that are not over: nothing was erased; erase when they have ended
}

// ErasedPrefix begins the names that take the place of erased users.
const ErasedPrefix = "erased-"
