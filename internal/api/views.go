package api

import (
	"reflect"
	"time"

	"carom"

	"github.com/danielgtaylor/huma/v2"
)

// OpenView asks to open a view at POST /v1/views.
type OpenView struct {
	App       string   `json:"app,omitempty" doc:"The app; needed unless the key is limited to one"`
	User      string   `json:"user,omitempty" maxLength:"256" doc:"To whom the reward is credited. Needed from a backend; refused from a browser, whose user Telegram names"`
	YMID      string   `json:"ymid,omitempty" maxLength:"256" doc:"One of your own, unique to the view; without it carom makes one. Refused from a browser"`
	Placement string   `json:"placement,omitempty" maxLength:"256" doc:"The spot that asks. Rules with request_vars believe it of a backend alone"`
	Sources   []string `json:"sources,omitempty" maxItems:"32" nullable:"false" doc:"Names of the sources that may confirm it; without it, any of the app"`
	ExpiresIn string   `json:"expires_in,omitempty" doc:"How long somebody is going to wait: 10s to 24h, from a browser 1h; 10m without it"`
}

// OpenedView is a view that was just opened. Its token is shown once.
type OpenedView struct {
	ViewID    carom.ViewID    `json:"view_id"`
	YMID      string          `json:"ymid" doc:"Pass it to the network's SDK"`
	Token     string          `json:"token" doc:"Lets its holder, a browser too, ask about this view"`
	State     carom.ViewState `json:"state"`
	Placement string          `json:"placement"`
	ExpiresAt time.Time       `json:"expires_at"`
}

// View is how an opened view stands.
type View struct {
	ViewID    carom.ViewID        `json:"view_id"`
	State     carom.ViewState     `json:"state" enum:"open,confirmed,declined,expired"`
	Unpaid    bool                `json:"unpaid" doc:"An event came that the network does not pay for, and none that it pays for"`
	Reward    *ViewReward         `json:"reward,omitempty"`
	Reason    carom.DeclineReason `json:"reason,omitempty" doc:"When declined"`
	ExpiresAt time.Time           `json:"expires_at"`
	Late      bool                `json:"late,omitempty" doc:"The reward was decided after the view had expired"`
}

// ViewReward is what the holder of a view's token may know of its reward.
type ViewReward struct {
	ID       carom.RewardID    `json:"id"`
	Rule     string            `json:"rule"`
	Amount   string            `json:"amount"`
	Currency string            `json:"currency"`
	State    carom.RewardState `json:"state"`
	Until    time.Time         `json:"until,omitzero" required:"false" doc:"When a held one is credited"`
}

// describeViews adds POST and GET /v1/views, which the door of views serves, to the OpenAPI document.
func describeViews(a huma.API) {
	schemas := a.OpenAPI().Components.Schemas
	body := func(description string, t reflect.Type) *huma.Response {
		return &huma.Response{Description: description, Content: map[string]*huma.MediaType{"application/json": {Schema: schemas.Schema(t, true, "")}}}
	}
	a.OpenAPI().AddOperation(&huma.Operation{
		Method: "POST", Path: "/v1/views", OperationID: "open-view", Tags: []string{"views"},
		Summary: "Open a view before the ad is shown",
		Description: "By a backend with an API key that may report events, or by a Telegram Mini App with `Authorization: tma INIT_DATA`, " +
			"from a page whose origin the app lists.",
		Security: []map[string][]string{{"key": {"events"}}},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: schemas.Schema(reflect.TypeFor[OpenView](), true, "")},
		}},
		Responses: map[string]*huma.Response{
			"201":     body("The view, with its token", reflect.TypeFor[OpenedView]()),
			"default": problemResponse(a),
		},
	})
	text := &huma.Schema{Type: huma.TypeString}
	a.OpenAPI().AddOperation(&huma.Operation{
		Method: "GET", Path: "/v1/views/{view_id}", OperationID: "get-view", Tags: []string{"views"},
		Summary:     "Ask how a view stands, or wait for it",
		Description: "With the view's token as the bearer, or an API key of its app of any scope.",
		Security:    []map[string][]string{{"key": {"read"}}},
		Parameters: []*huma.Param{
			{Name: "view_id", In: "path", Required: true, Schema: text, Example: "vw_7pd43g3yg00000000000c"},
			{Name: "wait", In: "query", Schema: text, Description: "0s to 60s: how long the answer may be held back while the view is open and there is no news"},
			{Name: "unpaid", In: "query", Schema: text, Description: "1: that it is unpaid so far is no news any more"},
		},
		Responses: map[string]*huma.Response{
			"200":     body("How it stands", reflect.TypeFor[View]()),
			"default": problemResponse(a),
		},
	})
}
