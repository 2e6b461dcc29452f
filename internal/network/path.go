package network

import "time"

// KnowsPath says whether the source has secrets for its path and secret, as it stood there, is one that counts at now. It is
// far cheaper than [Binding.Verify] and proves less: a network that signs is held to its signature too.
func (b *Binding) KnowsPath(secret string, now time.Time) bool { return b.matchesPath(secret, now) }
