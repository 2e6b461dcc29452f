package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// maxBodyBytes bounds what a request may send: an objects file of ten thousand endpoints is below it.
const maxBodyBytes = 8 << 20

// routes makes the handler of every path under /v1, and the document that describes them.
func routes(s *service) (http.Handler, *huma.OpenAPI) {
	mux := http.NewServeMux()
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "carom", Version: s.version(),
				Description: "Ad postbacks, verified and paid once. Requests need `Authorization: Bearer KEY`; keys are made with " +
					"`carom keys create`. People sign in instead, see docs/people.md. Times are RFC 3339 in UTC, prices decimal strings, errors problem details (RFC 9457).",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key": {Type: "http", Scheme: "bearer", Description: "An API key. Its scope is events, read or admin; it may be limited to one app. " +
						"Or with the scope publisher: a key, or the token of a link, of one publisher"},
					"session": {Type: "apiKey", In: "cookie", Name: secureCookie, Description: "The session of a member who has signed in; `" + plainCookie +
						"` over plain HTTP. What changes something needs the header `" + requestHeader + ": 1` besides"},
				},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat, csvType: csvFormat()},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{asProblem, noteSecrets},
	}
	a := humago.New(mux, config)
	a.UseMiddleware(s.authorize, s.once, onlyTables)

	add(s, a, "GET /v1/session", "get-session", "Say who is signed in, and what they may do", s.getSession)
	add(s, a, "POST /v1/session", "sign-in", "Begin a session", s.signIn)
	add(s, a, "DELETE /v1/session", "sign-out", "End the session", s.signOut)
	add(s, a, "POST /v1/session/claim", "claim-link", "Set a password with a one-time link, and begin a session", s.claimLink)
	add(s, a, "PUT /v1/session/password", "change-password", "Change one's own password; other sessions end", s.changePassword)
	add(s, a, "POST /v1/setup-link", "make-setup-link", "Make the link that makes the first operator", s.makeSetupLink)
	add(s, a, "GET /v1/members", "list-members", "List members", s.listMembers)
	add(s, a, "POST /v1/members", "create-member", "Make a member, and a link with which it sets its password", s.createMember)
	add(s, a, "GET /v1/members/{member}", "get-member", "Get a member", s.getMember)
	add(s, a, "PUT /v1/members/{member}", "change-member", "Change or disable a member", s.changeMember)
	add(s, a, "DELETE /v1/members/{member}", "delete-member", "Remove a member", s.deleteMember)
	add(s, a, "POST /v1/members/{member}/link", "make-member-link", "Make another link with which a member sets a password", s.makeMemberLink)
	add(s, a, "GET /v1/audit", "list-audit", "List who changed what, and who was refused, newest first", s.listAudit)
	add(s, a, "GET /v1/filters", "list-filters", "List one's saved filters", s.listFilters)
	add(s, a, "PUT /v1/filters/{name}", "save-filter", "Save a filter", s.saveFilter)
	add(s, a, "DELETE /v1/filters/{name}", "delete-filter", "Delete a saved filter", s.deleteFilter)

	add(s, a, "GET /v1/events", "list-events", "List events, newest first", s.listEvents)
	add(s, a, "GET /v1/events/{event_id}", "get-event", "Get the whole story of an event", s.getEvent)
	add(s, a, "GET /v1/events/{event_id}/verification", "verify-event", "Verify an event's postback again, and explain it", s.verifyEvent)
	add(s, a, "POST /v1/events/{event_id}/resend", "resend-event", "Resend all ended deliveries of an event", s.resendEvent)
	add(s, a, "POST /v1/deliveries/{delivery_id}/resend", "resend-delivery", "Resend an ended delivery under the same id", s.resendDelivery)
	add(s, a, "GET /v1/overview", "get-overview", "Sum up today and yesterday, hour by hour", s.getOverview)
	add(s, a, "GET /v1/reports", "get-report", "Report by day, hour, zone, sub-zone, request_var, network, source or event type", s.getReport)
	add(s, a, "GET /v1/reports/funnel", "get-funnel", "Count how many got how far", s.getFunnel)
	add(s, a, "GET /v1/reports/times", "get-times", "Say how long views took to be confirmed", s.getTimes)
	add(s, a, "GET /v1/reports/reasons", "get-reasons", "Count why things were declined, refused, not believed or held", s.getReasons)
	add(s, a, "GET /v1/deliveries", "find-deliveries", "List deliveries of all endpoints, newest first", s.findDeliveries)
	add(s, a, "GET /v1/deliveries/{delivery_id}", "get-delivery", "Get a delivery with all its attempts", s.getDelivery)
	add(s, a, "GET /v1/attempts", "list-attempts", "List sent postbacks, newest first", s.listAttempts)
	add(s, a, "GET /v1/views", "list-views", "List opened views, newest first", s.listViews)
	add(s, a, "GET /v1/stories/{id}", "get-story", "Get all that belongs together with one id", s.getStory)
	add(s, a, "GET /v1/search", "search", "Find anything by an id, a ymid, a user, a zone, a URL or a name", s.search)
	add(s, a, "GET /v1/received", "list-received", "List postbacks that became no event, newest first", s.listReceived)
	add(s, a, "GET /v1/received/{received_id}", "get-received", "Get a refused postback, and what reprocessing made of it", s.getRefused)
	add(s, a, "GET /v1/received/{received_id}/verification", "verify-received", "Verify a refused postback again, and explain it", s.verifyRefused)
	add(s, a, "POST /v1/resend", "resend", "Resend ended deliveries by filter", s.resendMany)
	add(s, a, "POST /v1/reprocess", "reprocess", "Judge held events and refused postbacks again", s.reprocess)
	add(s, a, "GET /v1/rewards", "list-rewards", "List rewards, newest first", s.listRewards)
	add(s, a, "GET /v1/rewards/{reward_id}", "get-reward", "Get a reward with its ledger lines", s.getReward)
	add(s, a, "POST /v1/rewards/void", "void-rewards", "Take rewards back, by filter or by ids", s.voidRewards)
	add(s, a, "POST /v1/rewards/grant", "grant-reward", "Credit an amount to a user by hand, once for each key", s.grantReward)
	add(s, a, "GET /v1/balances", "get-balances", "Get what a user has, by currency", s.getBalances)
	add(s, a, "GET /v1/ledger", "list-ledger", "List the lines of a user's account, newest first", s.listLedger)
	add(s, a, "GET /v1/ledger/check", "check-ledger", "Prove that every balance is the sum of its lines and every line has its cause", s.checkLedger)
	add(s, a, "GET /v1/tail", "tail-events", "Follow events as they are accepted, as server-sent events", s.tail)
	add(s, a, "GET /v1/live", "follow-live", "Follow what is received and sent while it happens, as server-sent events", s.followLive)
	add(s, a, "GET /v1/stats", "get-stats", "Count postbacks and deliveries", s.getStats)
	add(s, a, "GET /v1/status", "get-status", "Is money being lost, since when, whose fault, what next", s.getStatus)
	add(s, a, "GET /v1/nodes", "list-nodes", "List the nodes that share the database, and those that left within a day, newest first", s.listNodes)
	add(s, a, "GET /v1/alerts", "list-alerts", "List the alerts that are open and the newest that ended", s.listAlerts)
	add(s, a, "POST /v1/alerts/test", "test-alerts", "Send a test through every channel of alerts", s.testAlerts)
	add(s, a, "GET /v1/objects", "list-objects", "List what is configured, without secrets", s.listObjects)
	add(s, a, "POST /v1/apply", "apply-objects", "Apply an objects file", s.apply)
	add(s, a, "GET /v1/endpoints", "list-endpoints", "List endpoints with their lanes and backlogs", s.listEndpoints)
	add(s, a, "POST /v1/endpoints/check", "check-endpoints", "Say which endpoints would lose postbacks, without sending one", s.checkEndpoints)
	add(s, a, "POST /v1/endpoints/{app}/{name}/pause", "pause-endpoint", "Pause an endpoint: nothing is sent, deadlines run", s.pauseEndpoint)
	add(s, a, "POST /v1/endpoints/{app}/{name}/resume", "resume-endpoint", "Resume an endpoint, or try it again at once", s.resumeEndpoint)
	add(s, a, "POST /v1/sources/{app}/{name}/rotate", "rotate-source", "Make a new path secret for a source", s.rotateSource)
	add(s, a, "POST /v1/sources/{app}/{name}/freeze", "freeze-source", "Freeze a source: events are kept, and wait for your release", s.freezeSource)
	add(s, a, "POST /v1/sources/{app}/{name}/thaw", "thaw-source", "Let a frozen source go on; what was held stays held", s.thawSource)
	add(s, a, "GET /v1/sources/{app}/{name}/shadow", "get-shadow", "Say where a source in shadow and today's receiver differ", s.getShadow)
	add(s, a, "GET /v1/reconcile", "get-reconcile", "Report by app, network, source, zone and day", s.getReconcile)
	add(s, a, "GET /v1/reconcile/comparison", "compare-statements", "Explain where a network's statements and carom's counts differ", s.compareStatements)
	add(s, a, "GET /v1/reconcile/statements", "list-statements", "List the statements of networks, newest first", s.listStatements)
	add(s, a, "POST /v1/reconcile/statements", "import-statement", "Import a network's file of statistics", s.importStatement)
	add(s, a, "GET /v1/reconcile/statements/{id}", "get-statement", "Get a statement with its rows", s.getStatement)
	add(s, a, "GET /v1/keys", "list-keys", "List API keys", s.listKeys)
	add(s, a, "POST /v1/keys", "create-key", "Make an API key", s.createKey)
	add(s, a, "DELETE /v1/keys/{id}", "delete-key", "Delete an API key", s.deleteKey)
	add(s, a, "GET /v1/users/export", "export-user", "Get everything that is kept about a user", s.exportUser)
	add(s, a, "POST /v1/users/erase", "erase-user", "Erase a user: ledger lines stay, the person goes", s.eraseUser)
	add(s, a, "POST /v1/backup", "make-backup", "Make a backup of the data folder while it is in use", s.backup)
	add(s, a, "GET /v1/publishers", "list-publishers", "List publishers", s.listPublishers)
	add(s, a, "GET /v1/publishers/{publisher}", "get-publisher", "Get all that a publisher sets up, and what is wrong with it", s.getPublisher)
	add(s, a, "PUT /v1/publishers/{publisher}", "put-publisher", "Make or change a publisher", s.putPublisher)
	add(s, a, "POST /v1/publishers/{publisher}/links", "make-link", "Make a signed, expiring link to a publisher's set-up page", s.makeLink)
	add(s, a, "PUT /v1/publishers/{publisher}/apps/{app}", "put-app", "Make or change an app of a publisher", s.putApp)
	add(s, a, "POST /v1/publishers/{publisher}/apps/{app}/zones", "make-zone", "Make a zone with its sub-zones", s.makeZone)
	add(s, a, "PATCH /v1/publishers/{publisher}/apps/{app}/zones/{zone}", "change-zone", "Change what is given of a zone", s.changeZone)
	add(s, a, "POST /v1/publishers/{publisher}/preview", "preview-endpoint", "Say what a template would send, and what is wrong with it", s.previewEndpoint)
	add(s, a, "PUT /v1/publishers/{publisher}/endpoints/{app}/{name}", "put-endpoint", "Make or change an endpoint of a publisher", s.putEndpoint)
	add(s, a, "DELETE /v1/publishers/{publisher}/endpoints/{app}/{name}", "delete-endpoint", "Remove an endpoint of a publisher", s.deleteEndpoint)
	add(s, a, "POST /v1/publishers/{publisher}/endpoints/{app}/{name}/test", "test-endpoint", "Send one test postback, and say what its answer means", s.testEndpoint)
	add(s, a, "POST /v1/publishers/{publisher}/endpoints/{app}/{name}/secret", "rotate-secret", "Make a new signing secret for an endpoint", s.rotateSecret)
	add(s, a, "GET /v1/publishers/{publisher}/endpoints/{app}/{name}/deliveries", "list-deliveries", "List what an endpoint was sent, newest first", s.listDeliveries)
	add(s, a, "DELETE /v1/publishers/{publisher}", "remove-publisher", "Remove a publisher without apps", s.removePublisher)
	add(s, a, "GET /v1/apps", "list-apps", "List apps", s.listApps)
	add(s, a, "GET /v1/apps/{app}", "get-app", "Get an app as it is set", s.getApp)
	add(s, a, "PUT /v1/apps/{app}", "replace-app", "Make or change an app", s.replaceApp)
	add(s, a, "DELETE /v1/apps/{app}", "remove-app", "Remove an app, with everything in it if asked to", s.removeApp)
	add(s, a, "GET /v1/sources", "list-sources", "List sources", s.listSources)
	add(s, a, "GET /v1/sources/{app}/{name}", "get-source", "Get a source as it is set", s.getSource)
	add(s, a, "PUT /v1/sources/{app}/{name}", "replace-source", "Make or change a source", s.replaceSource)
	add(s, a, "DELETE /v1/sources/{app}/{name}", "remove-source", "Remove a source", s.removeSource)
	add(s, a, "GET /v1/sources/{app}/{name}/health", "get-source-health", "Say whether postbacks come in, and why not", s.sourceHealth)
	add(s, a, "POST /v1/sources/{app}/{name}/test", "test-source", "Play one test postback through the door, as the network would", s.testSource)
	add(s, a, "GET /v1/endpoints/{app}/{name}", "get-endpoint", "Get an endpoint as it is set, and how it stands", s.getEndpoint)
	add(s, a, "PUT /v1/endpoints/{app}/{name}", "replace-endpoint", "Make or change an endpoint of any app", s.replaceEndpoint)
	add(s, a, "DELETE /v1/endpoints/{app}/{name}", "remove-endpoint", "Remove an endpoint of any app", s.removeEndpoint)
	add(s, a, "POST /v1/endpoints/preview", "preview-template", "Say what a template would send, of any app", s.previewTemplate)
	add(s, a, "POST /v1/endpoints/{app}/{name}/test", "try-endpoint", "Send one test postback, of any app, and say what its answer means", s.tryEndpoint)
	add(s, a, "POST /v1/endpoints/{app}/{name}/secret", "renew-secret", "Make a new signing secret for an endpoint of any app", s.renewSecret)
	add(s, a, "GET /v1/rules", "list-rules", "List rules", s.listRules)
	add(s, a, "GET /v1/rules/{app}/{name}", "get-rule", "Get a rule as it is set", s.getRule)
	add(s, a, "PUT /v1/rules/{app}/{name}", "replace-rule", "Make or change a rule", s.replaceRule)
	add(s, a, "DELETE /v1/rules/{app}/{name}", "remove-rule", "Remove a rule: what it granted stays", s.removeRule)
	add(s, a, "GET /v1/zones", "list-zones", "List zones", s.listZones)
	add(s, a, "GET /v1/zones/{app}/{zone}", "get-zone", "Get a zone as it is set", s.getZone)
	add(s, a, "PUT /v1/zones/{app}/{zone}", "replace-zone", "Make or change a zone of any app", s.replaceZone)
	add(s, a, "DELETE /v1/zones/{app}/{zone}", "remove-zone", "Remove a zone", s.removeZone)
	add(s, a, "GET /v1/creatives", "list-creatives", "List house creatives", s.listCreatives)
	add(s, a, "GET /v1/creatives/{name}", "get-creative", "Get a creative as it is set", s.getCreative)
	add(s, a, "PUT /v1/creatives/{name}", "replace-creative", "Make or change a creative", s.replaceCreative)
	add(s, a, "DELETE /v1/creatives/{name}", "remove-creative", "Remove a creative", s.removeCreative)
	add(s, a, "GET /v1/dialects", "list-dialects", "List dialects", s.listDialects)
	add(s, a, "GET /v1/dialects/{name}", "get-dialect", "Get a dialect as it is set", s.getDialect)
	add(s, a, "PUT /v1/dialects/{name}", "replace-dialect", "Make or change a dialect", s.replaceDialect)
	add(s, a, "DELETE /v1/dialects/{name}", "remove-dialect", "Remove a dialect", s.removeDialect)
	add(s, a, "GET /v1/macros", "list-macros", "List what a template can hold", s.listMacros)
	add(s, a, "GET /v1/networks", "list-networks", "List the networks that sources can be of", s.listNetworks)
	add(s, a, "POST /v1/quickstart", "quickstart", "Connect an app to a network: app, source and endpoint in one step", s.quickstart)
	add(s, a, "GET /v1/settings", "list-settings", "List the settings of the process, without secrets", s.listSettings)
	add(s, a, "GET /v1/version", "get-version", "Get the version of the server", s.getVersion)
	describeReport(a)
	describeViews(a)
	describeTables(a)

	tidy(a.OpenAPI())
	s.serveDocument(mux, a.OpenAPI())
	mux.HandleFunc("/v1/", s.limited(func(w http.ResponseWriter, r *http.Request) { noRoute(mux, w, r) }))
	return mux, a.OpenAPI()
}

// add registers one route. Who may call it is in the table access.
func add[I, O any](s *service, a huma.API, route, id, summary string, handle func(context.Context, *I) (*O, error)) {
	method, path, _ := strings.Cut(route, " ")
	noun, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
	op := huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary, Tags: []string{noun},
		MaxBodyBytes: maxBodyBytes,
		Security:     classOf(id).security(),
		Responses:    map[string]*huma.Response{"default": problemResponse(a)},
	}
	switch {
	case id == "create-key", id == "make-link", id == "make-zone", id == "claim-link", id == "create-member", id == "make-member-link", id == "make-setup-link":
		op.DefaultStatus = http.StatusCreated
	case id == "make-backup":
		op.Responses["200"] = &huma.Response{
			Description: "A backup, see `carom restore`: a tar archive compressed with zstd. One without its manifest at the end was cut off",
			Content:     map[string]*huma.MediaType{"application/zstd": {Schema: &huma.Schema{Type: "string", Format: "binary"}}},
		}
	case id == "follow-live":
		schemas := a.OpenAPI().Components.Schemas
		data := &huma.Schema{Description: "The data of each server-sent event", OneOf: []*huma.Schema{
			schemas.Schema(reflect.TypeFor[LiveReceived](), true, ""), schemas.Schema(reflect.TypeFor[LiveSent](), true, ""),
		}}
		op.Responses["200"] = &huma.Response{
			Description: "Server-sent events: `received` with LiveReceived, `sent` with LiveSent as data, and `skipped` when there is more than can be shown, with its number `n`",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: data}},
		}
	case id == "tail-events":
		op.Responses["200"] = &huma.Response{
			Description: "One server-sent event named `event` for each event, its data as in get-event; `skipped` when some are left out",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}},
		}
	}
	huma.Register(a, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		var withHeaders huma.HeadersError
		if errors.As(err, &withHeaders) {
			return nil, err // a problem that is whole already
		}
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
}

func problemResponse(a huma.API) *huma.Response {
	schemas := a.OpenAPI().Components.Schemas
	return &huma.Response{
		Description: "A problem: what is wrong and what to do",
		Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schemas.Schema(problemType(), true, "")}},
	}
}

// serveDocument serves the OpenAPI document to anybody: it is the same on every server. Each form is rendered when it is
// first asked for.
func (s *service) serveDocument(mux *http.ServeMux, doc *huma.OpenAPI) {
	for _, form := range []struct {
		path, contentType string
		render            func() ([]byte, error)
	}{
		{"/v1/openapi.json", "application/openapi+json", sync.OnceValues(func() ([]byte, error) { return json.MarshalIndent(doc, "", "  ") })},
		{"/v1/openapi.yaml", "application/openapi+yaml", sync.OnceValues(doc.YAML)},
	} {
		mux.HandleFunc("GET "+form.path, s.limited(func(w http.ResponseWriter, _ *http.Request) {
			data, err := form.render()
			if err != nil {
				writeProblem(w, newProblem(http.StatusInternalServerError, "the document cannot be written: "+err.Error()))
				return
			}
			w.Header().Set("Content-Type", form.contentType)
			_, _ = w.Write(data) // the caller hung up: there is nobody to tell
		}))
	}
}

// noRoute answers what no route matches: 405 when another method would do, else 404.
func noRoute(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "/v1/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		list := strings.Join(allowed, ", ")
		w.Header().Set("Allow", list)
		writeProblem(w, newProblem(http.StatusMethodNotAllowed, "this path takes "+list+": /v1/openapi.json lists what there is"))
		return
	}
	writeProblem(w, newProblem(http.StatusNotFound, "there is nothing at this path: /v1/openapi.json lists what there is"))
}

// Version says what runs.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go" doc:"The Go release it was built with"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

type versionOut struct{ Body Version }

func (s *service) getVersion(context.Context, *struct{}) (*versionOut, error) {
	return &versionOut{Version{Version: s.version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}}, nil
}

func (s *service) version() string {
	if s.Version == "" {
		return "unknown"
	}
	return s.Version
}
