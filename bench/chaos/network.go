package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
)

// network is a network of this machine alone: a bridge, at whose address the databases and the sink are reached, and a namespace for
// each node, as if it were a machine with a cable.
type network struct {
	bridge string
	prefix string // of the addresses: "10.198.7."
	spaces []string
}

// newNetwork lays a network for so many nodes. It needs Linux, root and the program ip.
func newNetwork(nodes int) (_ *network, err error) {
	pid := os.Getpid()
	n := &network{bridge: fmt.Sprintf("carom%d", pid), prefix: fmt.Sprintf("10.198.%d.", pid%255)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if err = ip("link", "add", n.bridge, "type", "bridge"); err != nil {
		return nil, err
	}
	steps := [][]string{{"addr", "add", n.host() + "/24", "dev", n.bridge}, {"link", "set", n.bridge, "up"}}
	for i := range nodes {
		space := fmt.Sprintf("%s-%d", n.bridge, i)
		if err = ip("netns", "add", space); err != nil {
			return nil, err
		}
		n.spaces = append(n.spaces, space)
		steps = append(steps,
			[]string{"link", "add", n.cable(i), "type", "veth", "peer", "name", "eth0", "netns", space},
			[]string{"link", "set", n.cable(i), "master", n.bridge, "up"},
			[]string{"-n", space, "addr", "add", n.node(i) + "/24", "dev", "eth0"},
			[]string{"-n", space, "link", "set", "eth0", "up"},
			[]string{"-n", space, "link", "set", "lo", "up"})
	}
	for _, step := range steps {
		if err = ip(step...); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *network) host() string       { return n.prefix + "1" }
func (n *network) node(i int) string  { return fmt.Sprintf("%s%d", n.prefix, 11+i) }
func (n *network) cable(i int) string { return fmt.Sprintf("%s.%d", n.bridge, i) }

// wrap is what runs a command where a node lives.
func (n *network) wrap(i int) []string { return []string{"ip", "netns", "exec", n.spaces[i]} }

// unplug takes a node's cable out, or puts it back in. Packets are lost meanwhile, and nobody says so.
func (n *network) unplug(i int, out bool) error {
	state := "up"
	if out {
		state = "down"
	}
	return ip("link", "set", n.cable(i), state)
}

// close removes the network. The nodes have ended.
func (n *network) close() error {
	var errs []error
	for _, space := range n.spaces {
		errs = append(errs, ip("netns", "del", space)) // with its end of the cable goes the other
	}
	if _, err := net.InterfaceByName(n.bridge); err == nil {
		errs = append(errs, ip("link", "del", n.bridge))
	}
	return errors.Join(errs...)
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
