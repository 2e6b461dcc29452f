package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"carom"
)

// storedDecision is a decision as it is kept with its event.
type storedDecision struct {
	Rule   string              `json:"rule"`
	State  carom.RewardState   `json:"state"`
	Reason carom.DeclineReason `json:"reason,omitempty"`
	Cap    string              `json:"cap,omitempty"`
	Reward carom.RewardID      `json:"reward,omitempty"`
}

func decidedJSON(list []carom.Decided) string {
	if len(list) == 0 {
		return ""
	}
	stored := make([]storedDecision, len(list))
	for i, d := range list {
		stored[i] = storedDecision{Rule: d.Rule, State: d.State, Reason: d.Reason, Cap: d.Cap}
		if d.Reward != nil {
			stored[i].Reward = d.Reward.ID
		}
	}
	text, err := json.Marshal(stored)
	if err != nil {
		return "" // strings always marshal
	}
	return string(text)
}

// parseDecided reads decisions. Their rewards have no more than their ids.
func parseDecided(text string) ([]carom.Decided, error) {
	if text == "" {
		return nil, nil
	}
	var stored []storedDecision
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return nil, fmt.Errorf("stored decisions: %w", err)
	}
	list := make([]carom.Decided, len(stored))
	for i, d := range stored {
		list[i] = carom.Decided{Rule: d.Rule, State: d.State, Reason: d.Reason, Cap: d.Cap}
		if d.Reward != "" {
			list[i].Reward = &carom.Reward{ID: d.Reward}
		}
	}
	return list, nil
}

// storedTarget is one endpoint in an event's list, see joinTargets.
type storedTarget struct {
	endpoint int   // below 0: nothing is owed
	reward   int64 // the number of the reward that is owed; 0: the event is
}

func parseTargets(text string) ([]storedTarget, error) {
	words := strings.Fields(text)
	list := make([]storedTarget, len(words))
	for i, word := range words {
		if word == "-" {
			list[i].endpoint = -1
			continue
		}
		endpoint, reward, owes := strings.Cut(word, ":")
		var err error
		if list[i].endpoint, err = strconv.Atoi(endpoint); err == nil && owes {
			list[i].reward, err = strconv.ParseInt(reward, 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("stored endpoints %q: %w", text, err)
		}
	}
	return list, nil
}

// owed is the reward that a delivery of the event at this ordinal is about, as it is told: credited, or taken back where the
// event is a reversal. Nil when the delivery is about the event.
func (s *Store) owed(ctx context.Context, db *sql.DB, ev *carom.Event, targets string, ordinal int) (*carom.Reward, error) {
	list, err := parseTargets(targets)
	if err != nil || ordinal >= len(list) || list[ordinal].reward == 0 {
		return nil, err
	}
	r, err := rewardByNumber(ctx, db, list[ordinal].reward)
	if err != nil {
		return nil, fmt.Errorf("the reward that %s is owed: %w", ev.ID, err)
	}
	r.State = carom.RewardGranted
	if ev.Type == carom.Reversal {
		r.State = carom.RewardReversed
	}
	return &r.Reward, nil
}
