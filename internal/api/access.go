package api

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"carom"

	"github.com/danielgtaylor/huma/v2"
)

// class says who may call an operation, and what the call is: a set of the marks below.
type class uint16

const (
	anybody     class = 1 << iota // proves nothing
	signedIn                      // a member of any role, about what is its own
	reporters                     // keys with the scope events
	viewers                       // and keys with the scope read
	supporters                    // members alone: no key has this scope
	publishers                    // and keys and links of publishers, about what is that publisher's
	operators                     // and keys with the scope admin, and the machine itself
	supportAsks                   // supporters with dry_run alone

	asks // it changes nothing, though its method is not GET: the audit log does not need it
	long // it goes on until the caller leaves: who it is is looked at again every second
)

const (
	reads      = viewers | supporters | operators
	readsOwn   = reads | publishers
	repairs    = supporters | operators
	repairsOwn = repairs | publishers
	setsUp     = publishers | operators
)

// access is the table of who may do what, by operation. What is not named here nobody but operators may do. Handlers narrow it to the
// apps of keys that are limited to one, and to those of publishers.
var access = map[string]class{
	"get-session":     anybody | asks,
	"sign-in":         anybody,
	"sign-out":        anybody,
	"claim-link":      anybody,
	"change-password": signedIn,
	"list-filters":    signedIn,
	"save-filter":     signedIn,
	"delete-filter":   signedIn,

	"list-members":     reads,
	"get-member":       reads,
	"create-member":    operators,
	"change-member":    operators,
	"delete-member":    operators,
	"make-member-link": operators,
	"make-setup-link":  operators,
	"list-audit":       reads,
	"list-keys":        reads,
	"create-key":       operators,
	"delete-key":       operators,

	"list-events":     readsOwn,
	"get-event":       readsOwn,
	"verify-event":    reads,
	"list-received":   reads,
	"get-received":    reads,
	"verify-received": reads,
	"tail-events":     reads | long,
	"get-stats":       readsOwn,
	"find-deliveries": readsOwn,
	"get-delivery":    readsOwn,
	"list-attempts":   readsOwn,
	"list-views":      readsOwn,
	"get-story":       readsOwn,
	"search":          readsOwn,
	"get-overview":    readsOwn,
	"follow-live":     readsOwn | long,
	"get-report":      readsOwn,
	"get-funnel":      readsOwn,
	"get-times":       readsOwn,
	"get-reasons":     readsOwn,
	"get-status":      reads,
	"list-nodes":      reads,
	"list-alerts":     reads,
	"list-settings":   reads,
	"test-alerts":     operators,
	"get-version":     readsOwn,
	"make-backup":     operators,

	"resend-event":    repairsOwn,
	"resend-delivery": repairsOwn,
	"resend":          repairs,
	"reprocess":       operators | supportAsks,

	"list-rewards": reads,
	"get-reward":   reads,
	"void-rewards": operators,
	"grant-reward": operators,
	"get-balances": reads,
	"list-ledger":  reads,
	"check-ledger": reads,
	"export-user":  reads,
	"erase-user":   operators,

	"list-objects":    reads,
	"apply-objects":   operators,
	"list-endpoints":  readsOwn,
	"check-endpoints": operators | asks,
	"pause-endpoint":  operators,
	"resume-endpoint": operators,
	"rotate-source":   operators,
	"freeze-source":   operators,
	"thaw-source":     operators,
	"get-shadow":      reads,

	"get-reconcile":      reads,
	"compare-statements": reads,
	"list-statements":    reads,
	"get-statement":      reads,
	"import-statement":   operators,

	"list-apps":         readsOwn,
	"get-app":           reads,
	"replace-app":       operators,
	"remove-app":        operators,
	"list-sources":      reads,
	"get-source":        reads,
	"replace-source":    operators,
	"remove-source":     operators,
	"get-source-health": reads,
	"test-source":       operators,
	"get-endpoint":      reads,
	"replace-endpoint":  operators,
	"remove-endpoint":   operators,
	"preview-template":  operators | asks,
	"try-endpoint":      operators,
	"renew-secret":      operators,
	"list-rules":        reads,
	"get-rule":          reads,
	"replace-rule":      operators,
	"remove-rule":       operators,
	"list-zones":        readsOwn,
	"get-zone":          reads,
	"replace-zone":      operators,
	"remove-zone":       operators,
	"list-creatives":    reads,
	"get-creative":      reads,
	"replace-creative":  operators,
	"remove-creative":   operators,
	"list-dialects":     reads,
	"get-dialect":       reads,
	"replace-dialect":   operators,
	"remove-dialect":    operators,
	"list-macros":       readsOwn,
	"list-networks":     reads,
	"quickstart":        operators,
	"remove-publisher":  operators,

	"list-publishers":  readsOwn,
	"get-publisher":    readsOwn,
	"put-publisher":    operators,
	"make-link":        operators,
	"put-app":          setsUp,
	"make-zone":        setsUp,
	"change-zone":      setsUp,
	"preview-endpoint": setsUp | asks,
	"put-endpoint":     setsUp,
	"delete-endpoint":  setsUp,
	"test-endpoint":    setsUp,
	"rotate-secret":    setsUp,
	"list-deliveries":  readsOwn,

	// The doors of events and of views serve these themselves.
	"report-events": reporters | operators,
	"open-view":     reporters | operators,
	"get-view":      reporters | reads,
}

// classOf is the row of an operation.
func classOf(operation string) class {
	if row, ok := access[operation]; ok {
		return row
	}
	return operators
}

// class is what the caller is.
func (c caller) class() class {
	own := anybody
	if c.kind == carom.ActorMember {
		own |= signedIn
	}
	switch {
	case c.role == carom.RoleSupport:
		return own | supporters | supportAsks
	case c.role == carom.RoleViewer:
		return own | viewers
	}
	switch c.scope {
	case carom.ScopeAdmin:
		return own | operators
	case carom.ScopeRead:
		return own | viewers
	case carom.ScopePublisher:
		return own | publishers
	case carom.ScopeEvents:
		return own | reporters
	}
	return own
}

// may lists the operations that the caller may call, sorted.
func (c caller) may() []string {
	list := []string{}
	for _, operation := range slices.Sorted(maps.Keys(access)) {
		if access[operation]&c.class() != 0 {
			list = append(list, operation)
		}
	}
	return list
}

// allowed says why the caller may not call the operation, if so.
func (c caller) allowed(ctx huma.Context) *Problem {
	op := ctx.Operation()
	row := classOf(op.OperationID)
	own := row & c.class()
	switch {
	case own == 0 && c.publisher != "":
		return c.notForPublishers()
	case own == 0 && c.kind == carom.ActorMember:
		return forbidden("this needs the role " + row.role() + ", and yours is " + string(c.role) + ": ask an operator")
	case own == 0 && row&signedIn != 0:
		return forbidden("this is of the person who is signed in, and a key is nobody's: sign in at the dashboard")
	case own == 0:
		needed := string(row.scope())
		return forbidden("this needs a key with the scope " + needed + ", and this one has " + string(c.scope) +
			": make one with `carom keys create --scope " + needed + "`")
	case own == supportAsks && ctx.Query("dry_run") != "true":
		return forbidden("your role, support, may only look at what this would do: send it with dry_run, or ask an operator")
	case c.publisher != "" && strings.HasPrefix(op.Path, "/v1/publishers/{publisher}") && ctx.Param("publisher") != c.publisher:
		return noPublisher(ctx.Param("publisher"))
	}
	return nil
}

// scope is the least scope that a key needs for it.
func (row class) scope() carom.Scope {
	switch {
	case row&reporters != 0:
		return carom.ScopeEvents
	case row&viewers != 0:
		return carom.ScopeRead
	}
	return carom.ScopeAdmin
}

// role is the least role that a member needs for it.
func (row class) role() string {
	switch {
	case row&viewers != 0:
		return string(carom.RoleViewer)
	case row&supporters != 0:
		return string(carom.RoleSupport)
	}
	return string(carom.RoleOperator)
}

// security is how the OpenAPI document says who may call an operation.
func (row class) security() []map[string][]string {
	var list []map[string][]string
	if row&(reporters|viewers|operators) != 0 {
		list = append(list, map[string][]string{"key": {string(row.scope())}})
	}
	if row&publishers != 0 {
		list = append(list, map[string][]string{"key": {string(carom.ScopePublisher)}})
	}
	switch {
	case row&anybody != 0:
		list = append(list, map[string][]string{})
	case row&^(reporters|asks|long) != 0:
		list = append(list, map[string][]string{"session": {}})
	}
	return list
}

// changes says whether a request of the operation is one for the audit log.
func (row class) changes(method string, dryRun bool) bool {
	return method != http.MethodGet && row&asks == 0 && !dryRun
}
