package carom

import "time"

// Bounds of what is kept of requests that carry a key of their caller's, so that they can be repeated.
const (
	KeepAnswers   = 24 * time.Hour // how long a request is known by its key
	MaxKeptBody   = 64 << 10       // bytes of an answer that are kept
	MaxRequestKey = 255            // bytes of a key
)

// KeptRequest names a request that can be repeated. The sums are those of [SumOf].
type KeptRequest struct {
	ID     [16]byte // of who asks, and the key
	Caller [16]byte // of who asks
	Asked  [16]byte // of what is asked: another request with the same key is a mistake
}

// KeptAnswer is what such a request was answered.
type KeptAnswer struct {
	Asked  [16]byte // as in its [KeptRequest]
	At     time.Time
	Status int     // HTTP; 0: it is under way, or the server ended meanwhile
	Header []Field // of the answer, those that a copy needs
	Body   []byte
	// Withheld says why the body is not kept: empty when it is.
	Withheld Withheld
}

// Withheld is why an answer is not kept, though the request was carried out.
type Withheld string

const (
	WithheldSecret Withheld = "secret" // it shows something that is shown once
	WithheldLong   Withheld = "long"   // it has more than MaxKeptBody bytes
	WithheldErased Withheld = "erased" // it named a user who was erased since
)
