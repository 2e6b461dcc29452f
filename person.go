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

// Erased is what became of a user who was erased. Ledger lines, rewards and counts stay, under a name that says nothing.
type Erased struct {
	As      string // "erased-…", the account's name from now on
	Rewards int    // with their lines
	Views   int
	Events  int // with what was received and sent for them
	Refused int // with unverified ones
	Waiting int // events that are left as they were, since deliveries of them still wait: erase again when those have ended
}

// ErasedPrefix begins the names that take the place of erased users.
const ErasedPrefix = "erased-"
