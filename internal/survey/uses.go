package survey

import (
	"strings"

	"carom"
	"carom/internal/route"
)

// uses is what an endpoint's requests hold.
type uses struct {
	sent    map[string]bool // carom's names of the macros whose values are in its requests
	written []route.Use     // those that stand in a template of the endpoint, and not in the body that is sent without one
	secret  bool            // a constant value that looks like a secret
}

// bodyMacros are what receivers find in the bodies that carom writes by itself.
var bodyMacros = []string{
	"ymid", "zone_id", "sub_zone_id", "request_var", "telegram_id", "event_type", "reward_event_type", "estimated_price", "event_id", "delivery_id",
}

func usesOf(e *route.Endpoint) uses {
	u := uses{sent: map[string]bool{}, written: e.Uses()}
	for _, use := range u.written {
		u.sent[use.Macro] = true
	}
	if e.Method == "POST" {
		if len(e.SigningSecrets) > 0 {
			u.sent["delivery_id"] = true // in the headers of the signature
		}
		if e.Body == "" {
			for _, macro := range bodyMacros {
				u.sent[macro] = true
			}
			u.sent["reward_id"] = u.sent["reward_id"] || e.Sends == carom.SendsRewards
		}
	}
	u.secret = secretHeader(&e.Endpoint)
	// What is hidden from the request as it is shown is a signature, or a constant that looks like a secret.
	if req, err := e.Preview(); err == nil && len(e.SigningSecrets) == 0 {
		u.secret = u.secret || req.ShownURL != req.URL || req.ShownBody != string(req.Body)
	}
	return u
}

// secretHeader says whether a header of the endpoint probably holds a constant secret.
func secretHeader(e *carom.Endpoint) bool {
	for _, h := range e.Headers {
		name := strings.ToLower(h.Name)
		for _, word := range []string{"auth", "key", "token", "secret", "sign", "cookie"} {
			if strings.Contains(name, word) && h.Value != "" {
				return true
			}
		}
	}
	return false
}
