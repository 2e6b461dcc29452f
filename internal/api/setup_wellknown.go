package api

import (
	"cmp"
	"encoding/json"
	"net/http"

	"carom"
	"carom/internal/route"
	"carom/receiver"
)

// Known is what /.well-known/carom.json says to whoever receives postbacks from this server.
type Known struct {
	Version          string        `json:"version"`
	Macros           []KnownMacro  `json:"macros"`
	Schedule         []string      `json:"schedule"` // waits before the 2nd, 3rd, … attempt; the last one repeats
	Deadline         string        `json:"deadline"` // from acceptance to the last attempt
	Timeout          string        `json:"timeout"`  // of one attempt
	Success          string        `json:"success"`
	Signing          Signing       `json:"signing"`
	EgressAddresses  []string      `json:"egress_addresses"` // empty: nobody has said
	EventTypes       []string      `json:"event_types"`      // an operator may have others
	RewardEventTypes []string      `json:"reward_event_types"`
	Formats          []KnownFormat `json:"formats"`
	DeliveryID       string        `json:"delivery_id"`
}

// KnownMacro is one macro of carom's own notation.
type KnownMacro struct {
	Name    string `json:"name"`
	Meaning string `json:"meaning"`
	Sample  string `json:"sample"`
}

// KnownFormat is a format of ads, and the types of events that are sent for it.
type KnownFormat struct {
	Name  string   `json:"name"`
	Sends []string `json:"sends" nullable:"false"`
}

// Signing says how a receiver checks a postback.
type Signing struct {
	GET  SigningScheme `json:"get"`
	POST SigningScheme `json:"post"`
	Docs string        `json:"docs"`
}

// SigningScheme is how the requests of one method are signed, when their endpoint has a signing secret.
type SigningScheme struct {
	Algorithm string   `json:"algorithm"`
	Key       string   `json:"key"`
	Covers    string   `json:"covers"`
	Where     string   `json:"where"`
	Encoding  string   `json:"encoding"`
	Headers   []string `json:"headers,omitempty" nullable:"false"`
}

// signing describes the scheme of the package receiver.
func signing() Signing {
	return Signing{
		GET: SigningScheme{
			Algorithm: "HMAC-SHA256", Key: "the text of the secret, whsec_ included",
			Covers:   "the raw query before the signature's own parameter, without the & between them",
			Where:    "the last parameter of the query, whose name the template chooses: &sig={signature}",
			Encoding: "lower-case hex; during a rotation several, joined by commas",
		},
		POST: SigningScheme{
			Algorithm: "HMAC-SHA256, by the convention of standardwebhooks.com", Key: "what is behind whsec_, base64-decoded",
			Covers:   "id.timestamp.body: the values of the first two headers and the raw body",
			Where:    "the header " + receiver.HeaderSignature,
			Encoding: "v1, and base64; during a rotation several, separated by spaces",
			Headers:  []string{receiver.HeaderID, receiver.HeaderTimestamp, receiver.HeaderSignature},
		},
		Docs: "docs/backends.md",
	}
}

func knownMacros() []KnownMacro {
	var list []KnownMacro
	for _, m := range route.Macros() {
		list = append(list, KnownMacro(m))
	}
	return list
}

func knownFormats() []KnownFormat {
	var list []KnownFormat
	for _, f := range carom.Formats() {
		known := KnownFormat{Name: string(f), Sends: []string{}}
		for _, t := range []carom.EventType{carom.Impression, carom.Click} {
			if f.Sends(t) {
				known.Sends = append(known.Sends, string(t))
			}
		}
		list = append(list, known)
	}
	return list
}

// known is what is true of every server, and of this one.
func known(o Options) Known {
	e := carom.Endpoint{}.WithDefaults()
	k := Known{
		Version: cmp.Or(o.Version, "unknown"), Macros: knownMacros(), Deadline: carom.FormatDuration(e.Deadline), Timeout: carom.FormatDuration(e.Timeout),
		Success: "any 2xx; redirects are not followed; 410 ends a delivery, everything else is tried again until the deadline",
		Signing: signing(), EgressAddresses: append([]string{}, o.EgressAddresses...),
		EventTypes:       texts([]carom.EventType{carom.Impression, carom.Click, carom.Completion, carom.Reversal}),
		RewardEventTypes: texts([]carom.RewardEventType{carom.Valued, carom.NotValued}),
		Formats:          knownFormats(), DeliveryID: "the same at every attempt of one delivery, and after a resend: grant once for each",
	}
	for _, wait := range e.Schedule {
		k.Schedule = append(k.Schedule, carom.FormatDuration(wait))
	}
	return k
}

// WellKnown serves /.well-known/carom.json, which needs no key and any page may read. It starts nothing; of o, Version and
// EgressAddresses count.
func WellKnown(o Options) http.Handler {
	text, err := json.MarshalIndent(known(o), "", "  ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			writeProblem(w, newProblem(http.StatusMethodNotAllowed, "this path takes GET"))
			return
		case err != nil:
			writeProblem(w, newProblem(http.StatusInternalServerError, "the document cannot be written: "+err.Error()))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		_, _ = w.Write(append(text, '\n')) // the caller hung up: there is nobody to tell
	})
}
