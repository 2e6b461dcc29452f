package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"

	"carom/internal/objects"
)

// Conditions say how an object has to be for a request to change it. It is exported because huma reads only exported fields.
type Conditions struct {
	IfMatch     string `header:"If-Match" doc:"The ETag of the object as you read it: the answer is 412 when it was changed meanwhile. *: only if it is there"`
	IfNoneMatch string `header:"If-None-Match" doc:"*: only if it is not there yet, else the answer is 412"`
}

// etag names the state of an object, which is a pointer as objects.Sum takes it: another one for each change of what is set for it,
// secrets included. It is keyed, so that nobody can try secrets against it.
func (s *service) etag(object any) string {
	sum := objects.Sum(object)
	return s.tagOf(sum[:])
}

// tagOf is the ETag of what has this sum.
func (s *service) tagOf(sum []byte) string {
	key := s.tagKey()
	mac := hmac.New(sha256.New, key[:])
	mac.Write(sum)
	return `"` + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:15]) + `"`
}

// check says that the object is not as the caller needs it to be. object is what is there; nil: nothing.
func (s *service) check(c Conditions, r objects.Ref, object any) error {
	tag := ""
	if object != nil {
		tag = s.etag(object)
	}
	return c.check(r.String(), tag)
}

// check says that what is there is not as the caller needs it to be. Its tag is empty when nothing is.
func (c Conditions) check(what, tag string) error {
	if c.IfNoneMatch != "" && c.IfNoneMatch != "*" {
		return newProblem(http.StatusBadRequest, "the header If-None-Match can say * alone: only if it is not there yet")
	}
	switch {
	case c.IfNoneMatch != "" && tag != "":
		return newProblem(http.StatusPreconditionFailed, "there is a "+what+" already, and If-None-Match says to make it only: "+
			"choose another name, or read it and change it with If-Match")
	case c.IfMatch == "":
		return nil
	case tag == "":
		return newProblem(http.StatusPreconditionFailed, "there is no "+what+" any more, which If-Match says you have read: somebody has removed it meanwhile")
	case c.IfMatch == "*":
		return nil
	}
	for one := range strings.SplitSeq(c.IfMatch, ",") {
		if strings.TrimPrefix(strings.TrimSpace(one), "W/") == tag { // a proxy that compresses makes a tag weak
			return nil
		}
	}
	return changedMeanwhile(what)
}

func changedMeanwhile(what string) *Problem {
	return newProblem(http.StatusPreconditionFailed, "the "+what+" was changed since you read it: read it again, and repeat your change on what it says now")
}
