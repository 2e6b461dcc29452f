package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"

	"carom"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// maxBodyBytes bounds what a request may send: an objects file of ten thousand endpoints is below it.
const maxBodyBytes = 8 << 20

// routes makes the handler of every path under /v1.
func routes(s *service) http.Handler {
	mux := http.NewServeMux()
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "carom", Version: s.version(),
				Description: "Ad postbacks, verified and paid once. Requests need `Authorization: Bearer KEY`; keys are made with " +
					"`carom keys create`. Times are RFC 3339 in UTC, prices decimal strings, errors problem details (RFC 9457).",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key": {Type: "http", Scheme: "bearer", Description: "An API key. Its scope is events, read or admin; it may be limited to one app. " +
						"Or with the scope publisher: a key, or the token of a link, of one publisher"},
				},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat, csvType: csvFormat()},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{asProblem},
	}
	a := humago.New(mux, config)
	a.UseMiddleware(s.authorize, onlyTables)

	add(s, a, "GET /v1/events", "list-events", "List events, newest first", s.listEvents)
	add(s, a, "GET /v1/events/{event_id}", "get-event", "Get the whole story of an event", s.getEvent)
	add(s, a, "GET /v1/events/{event_id}/verification", "verify-event", "Verify an event's postback again, and explain it", s.verifyEvent)
	add(s, a, "POST /v1/events/{event_id}/resend", "resend-event", "Resend all ended deliveries of an event", s.resendEvent)
	add(s, a, "POST /v1/deliveries/{delivery_id}/resend", "resend-delivery", "Resend an ended delivery under the same id", s.resendDelivery)
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
	add(s, a, "GET /v1/version", "get-version", "Get the version of the server", s.getVersion)
	describeReport(a)
	describeViews(a)
	describeTables(a)

	tidy(a.OpenAPI())
	serveDocument(mux, a.OpenAPI())
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) { noRoute(mux, w, r) })
	return mux
}

// add registers one route. Its scope follows from its method, see scopeFor.
func add[I, O any](s *service, a huma.API, route, id, summary string, handle func(context.Context, *I) (*O, error)) {
	method, path, _ := strings.Cut(route, " ")
	noun, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
	op := huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary, Tags: []string{noun},
		MaxBodyBytes: maxBodyBytes,
		Security:     []map[string][]string{{"key": {string(scopeFor(method))}}},
		Responses:    map[string]*huma.Response{"default": problemResponse(a)},
	}
	if publisherMay(id) {
		op.Security = append(op.Security, map[string][]string{"key": {string(carom.ScopePublisher)}})
	}
	switch {
	case id == "create-key", id == "make-link", id == "make-zone":
		op.DefaultStatus = http.StatusCreated
	case id == "make-backup":
		op.Responses["200"] = &huma.Response{
			Description: "A backup, see `carom restore`: a tar archive compressed with zstd. One without its manifest at the end was cut off",
			Content:     map[string]*huma.MediaType{"application/zstd": {Schema: &huma.Schema{Type: "string", Format: "binary"}}},
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
func serveDocument(mux *http.ServeMux, doc *huma.OpenAPI) {
	for _, form := range []struct {
		path, contentType string
		render            func() ([]byte, error)
	}{
		{"/v1/openapi.json", "application/openapi+json", sync.OnceValues(func() ([]byte, error) { return json.MarshalIndent(doc, "", "  ") })},
		{"/v1/openapi.yaml", "application/openapi+yaml", sync.OnceValues(doc.YAML)},
	} {
		mux.HandleFunc("GET "+form.path, func(w http.ResponseWriter, _ *http.Request) {
			data, err := form.render()
			if err != nil {
				writeProblem(w, newProblem(http.StatusInternalServerError, "the document cannot be written: "+err.Error()))
				return
			}
			w.Header().Set("Content-Type", form.contentType)
			_, _ = w.Write(data) // the caller hung up: there is nobody to tell
		})
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
