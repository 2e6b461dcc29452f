package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// partAttack is the first argument of a process that attacks. The name of the attack, the address and the options as JSON follow. It
// attacks until it is interrupted, and prints its counts.
const partAttack = "attack"

// counts are what an attack has done.
type counts struct {
	Sent  int64 `json:"sent"`  // connections or requests
	Ended int64 `json:"ended"` // of them, those that the server closed or answered
}

// runAttack is the main function of such a process.
func runAttack(ctx context.Context, args []string, w io.Writer) error {
	if len(args) != 3 {
		return fmt.Errorf("%s needs a name, an address and options", partAttack)
	}
	var o options
	if err := json.Unmarshal([]byte(args[2]), &o); err != nil {
		return fmt.Errorf("read the options of the attack: %w", err)
	}
	for _, a := range o.attacks(args[1]) {
		if a.name == args[0] {
			var t tally
			a.run(ctx, &t)
			return json.NewEncoder(w).Encode(counts{t.sent.Load(), t.ended.Load()})
		}
	}
	return fmt.Errorf("there is no attack %q", args[0])
}

// startAttack starts an attack. The returned function ends it and returns its counts; a second call returns the same.
func (b *bench) startAttack(name string) (end func() (counts, error), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(b.options)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("nice", "-n", "10", self, partAttack, name, b.server.Addr, string(text))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the attack: %w", err)
	}
	return sync.OnceValues(func() (c counts, err error) {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		late := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			return c, fmt.Errorf("the attack ended with %w", err)
		}
		return c, json.Unmarshal(out.Bytes(), &c)
	}), nil
}
