package api

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// ReportedEvent is an event that a trusted server reports to POST /v1/events.
type ReportedEvent struct {
	ID              string            `json:"id" doc:"Yours, unique within the source: a second report of it is a duplicate" minLength:"1"`
	App             string            `json:"app" doc:"The app it belongs to"`
	Source          string            `json:"source,omitempty" doc:"A source of the app with the profile api; needed when there are several"`
	EventType       string            `json:"event_type" doc:"impression, click, completion, reversal, or a type of your own"`
	RewardEventType string            `json:"reward_event_type,omitempty" doc:"valued or not_valued; absent when you do not say"`
	YMID            string            `json:"ymid,omitempty"`
	ZoneID          string            `json:"zone_id,omitempty"`
	SubZoneID       string            `json:"sub_zone_id,omitempty"`
	RequestVar      string            `json:"request_var,omitempty"`
	TelegramID      string            `json:"telegram_id,omitempty"`
	UserID          string            `json:"user_id,omitempty" doc:"The user by a name of yours, where that is not a Telegram id"`
	EstimatedPrice  string            `json:"estimated_price,omitempty" doc:"A decimal number as text, for example 0.0023"`
	Reverses        string            `json:"reverses,omitempty" doc:"Of a reversal: the id of the event that it takes back. Without it, the view is"`
	Fields          map[string]string `json:"fields,omitempty" doc:"Further fields, usable as macros"`
	Test            bool              `json:"test,omitempty" doc:"A test: stored and marked, never rewarded"`
}

// ReportAnswer answers a report: one result for each event, in the order of the request.
type ReportAnswer struct {
	Results []ReportResult `json:"results" nullable:"false"`
}

// ReportResult is what became of one reported event.
type ReportResult struct {
	ID      string `json:"id"`
	Status  string `json:"status" enum:"accepted,duplicate,invalid,try_later"`
	EventID string `json:"event_id,omitempty" doc:"Absent unless it is accepted or a duplicate"`
	Field   string `json:"field,omitempty" doc:"Which field is wrong, when it is invalid"`
	Reason  string `json:"reason,omitempty" doc:"What is wrong with it, and the fix"`
}

func problemType() reflect.Type { return reflect.TypeFor[Problem]() }

// describeReport adds POST /v1/events, which the door serves, to the OpenAPI document.
func describeReport(a huma.API) {
	schemas := a.OpenAPI().Components.Schemas
	one := schemas.Schema(reflect.TypeFor[ReportedEvent](), true, "")
	answer := schemas.Schema(reflect.TypeFor[ReportAnswer](), true, "")
	a.OpenAPI().AddOperation(&huma.Operation{
		Method: "POST", Path: "/v1/events", OperationID: "report-events", Tags: []string{"events"},
		Summary: "Report confirmed events",
		Description: "One event, an array, or one a line (NDJSON); at most 256 KiB an event and 8 MiB a request. Events are independent: " +
			"one that is invalid does not stop the others. The answer comes when all accepted ones are stored for good.",
		Security: []map[string][]string{{"key": {"events"}}},
		RequestBody: &huma.RequestBody{
			Required: true,
			Content: map[string]*huma.MediaType{
				"application/json":     {Schema: &huma.Schema{OneOf: []*huma.Schema{one, {Type: huma.TypeArray, Items: one}}}},
				"application/x-ndjson": {Schema: &huma.Schema{Type: huma.TypeString, Description: "One JSON object a line, each as in application/json"}},
			},
		},
		Responses: map[string]*huma.Response{
			"200":     {Description: "What became of each event", Content: map[string]*huma.MediaType{"application/json": {Schema: answer}}},
			"default": problemResponse(a),
		},
	})
}
