package main

import (
	"os"
	"slices"
	"testing"
)

func TestPairsOfAQuietDisk(t *testing.T) {
	at := func(syncs ...float64) (out []measurement) {
		for i, s := range syncs {
			out = append(out, measurement{Round: i + 1, LongestSync: s})
		}
		return out
	}
	for _, c := range []struct {
		name          string
		alone, beside []float64
		want          []int
	}{
		{"all were quiet", []float64{1, 2}, []float64{3, 99}, []int{1, 2}},
		{"either window counts", []float64{1, 100, 1}, []float64{400, 1, 1}, []int{3}},
		{"none was", []float64{200, 200}, []float64{1, 1}, []int{1, 2}},
	} {
		q := paired{alone: at(c.alone...), beside: at(c.beside...)}.quiet()
		var got []int
		for i, m := range q.alone {
			got = append(got, m.Round)
			if q.beside[i].Round != m.Round {
				t.Errorf("%s: pair %d has the window beside readers of pair %d", c.name, m.Round, q.beside[i].Round)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: pairs %v, want %v", c.name, got, c.want)
		}
	}
}

func TestThePulseOfADisk(t *testing.T) {
	dir := t.TempDir()
	p, err := startPulse(dir)
	if err != nil {
		t.Fatal(err)
	}
	if longest, err := p.end(); err != nil || longest <= 0 {
		t.Errorf("longest sync: %v, %v; want more than nothing", longest, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
	if _, err := startPulse(dir + "/missing"); err == nil {
		t.Error("a folder that is not there is watched")
	}
}
