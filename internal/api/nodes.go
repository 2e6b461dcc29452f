package api

import (
	"context"
	"fmt"
	"time"

	"carom"
)

// NodeList is who shares the work.
type NodeList struct {
	Nodes []carom.Node `json:"nodes" nullable:"false" doc:"Newest first. A server with a data folder of its own is the only one"`
}

type nodesOut struct{ Body NodeList }

func (s *service) listNodes(ctx context.Context, _ *struct{}) (*nodesOut, error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	list := []carom.Node{}
	if s.Nodes != nil {
		var err error
		if list, err = s.Nodes(ctx); err != nil {
			return nil, err
		}
	}
	return &nodesOut{NodeList{list}}, nil
}

// clockOff is how far a node's clock may be from the database's. Events, deliveries and leases go by the database's all the same.
const clockOff = 5 * time.Second

// checkNodes looks at the nodes that share the work: those that died are taken over, which has to happen, and all should have the
// same time.
func checkNodes(f *facts) []Item {
	var items []Item
	for i := range f.Nodes {
		n := &f.Nodes[i]
		it := Item{Kind: KindNodeSilent, Severity: Attention, Subject: "node " + NodeName(n), Fault: Ours}
		switch n.State {
		case carom.NodeSilent:
			it.Since, it.What = n.Seen.UTC(), "it shows no sign of life; when it stays silent, the others take over what it has in its hands"
			it.Next = "look whether it runs there and reaches the database (journalctl -u carom); carom nodes tells when it is taken over"
		case carom.NodeLeft:
			it.Since, it.What = n.Ended.UTC(), "it is gone, and what it left is not taken over yet: these deliveries wait"
			it.HowMuch = plural(n.Claimed, "delivery") + " claimed, and what lived in its memory"
			it.Next = "if this stays, look at the log of the nodes that are alive for why they cannot take over: carom nodes lists them"
		}
		if it.What != "" {
			items = append(items, it)
		}
		ahead := time.Duration(n.ClockAheadMS) * time.Millisecond
		if n.State != carom.NodeAlive || ahead.Abs() <= clockOff {
			continue
		}
		direction := "ahead of"
		if ahead < 0 {
			direction = "behind"
		}
		items = append(items, Item{
			Kind: KindNodeClock, Severity: Attention, Subject: "node " + NodeName(n), Fault: Ours,
			What:    "its machine's clock is " + direction + " the database's; what is stored goes by the database's, but certificates, links that expire, the status and the log by its own",
			HowMuch: fmt.Sprintf("by %s", ahead.Abs().Round(time.Second)),
			Next:    "let a time server keep the clocks of both machines: carom check --machine on each",
		})
	}
	return items
}

// NodeName is how a node is called: by its name, or by its number if it has none.
func NodeName(n *carom.Node) string {
	if n.Name == "" {
		return fmt.Sprintf("#%d", n.No)
	}
	return n.Name
}
