package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"carom/bench/stat"
)

// Client asks a sink in another process for its account.
type Client struct {
	Addr string // host and port
}

// Expect tells the sink to leave events meant to be sent before from (Unix nanoseconds) out of the latency of run.
func (c Client) Expect(ctx context.Context, run uint32, from int64) error {
	return c.call(ctx, http.MethodPost, fmt.Sprintf("/expect?run=%x&from=%d", run, from), nil, nil)
}

// Stats returns the account of run.
func (c Client) Stats(ctx context.Context, run uint32) (s Stats, err error) {
	return s, c.call(ctx, http.MethodGet, fmt.Sprintf("/stats?run=%x", run), nil, &s)
}

// Check says which of the acknowledged events of run did not arrive.
func (c Client) Check(ctx context.Context, run uint32, acked *stat.Set) (out Checked, err error) {
	body, err := acked.MarshalBinary()
	if err != nil {
		return out, err
	}
	return out, c.call(ctx, http.MethodPost, fmt.Sprintf("/check?run=%x", run), body, &out)
}

// Reset forgets every run.
func (c Client) Reset(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/reset", nil, nil)
}

func (c Client) call(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.Addr+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the sink: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it has been read to its end
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read the sink's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the sink answered %s: %s", resp.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
