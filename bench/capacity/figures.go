package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// The files that the benchmark writes, in one folder.
const (
	postgresFile = "postgres.json"
	folderFile   = "latest.json"
)

// wanted is a figure that the model takes from a file of the benchmark.
type wanted struct {
	file, key string
	run       string // the command that measures it
	zero      bool   // it may be 0
	optional  bool
}

// commands that measure what the model needs.
const (
	runRatio   = "go run ./bench -postgres -only ratio"
	runLatency = "go run ./bench -postgres -only latency"
	runNodes   = "go run ./bench -postgres -only nodes"
	runGrowth  = "go run ./bench -postgres -only growth"
	runFolder  = "go run ./bench -only ratio"
)

// inputs are the figures of the model. The benchmark's report says what each means.
var inputs = []wanted{
	{file: postgresFile, key: "node_cpu_s_per_1000", run: runRatio},
	{file: postgresFile, key: "database_cpu_s_per_1000", run: runRatio},
	{file: postgresFile, key: "events_per_commit", run: runRatio},
	{file: postgresFile, key: "commits_per_s", run: runRatio},
	{file: postgresFile, key: "wal_bytes_per_event", run: runRatio},
	{file: postgresFile, key: "wal_images_per_event", run: runRatio, zero: true},
	{file: postgresFile, key: "half_node_cpu_s_per_1000", run: runLatency, optional: true},
	{file: postgresFile, key: "half_database_cpu_s_per_1000", run: runLatency, optional: true},
	{file: postgresFile, key: "half_events_per_commit", run: runLatency, optional: true},
	{file: postgresFile, key: "half_commits_per_s", run: runLatency, optional: true},
	{file: postgresFile, key: "two_node_ratio", run: runNodes},
	{file: postgresFile, key: "growth_wal_bytes_per_event", run: runGrowth},
	{file: postgresFile, key: "growth_wal_images_per_event", run: runGrowth, zero: true},
	{file: postgresFile, key: "events_table_bytes_per_event", run: runGrowth},
	{file: postgresFile, key: "events_index_bytes_per_event", run: runGrowth},
	{file: postgresFile, key: "outcomes_table_bytes_per_event", run: runGrowth},
	{file: postgresFile, key: "outcomes_index_bytes_per_event", run: runGrowth},
	{file: postgresFile, key: "keys_table_bytes_per_event", run: runGrowth},
	{file: postgresFile, key: "keys_index_bytes_per_event", run: runGrowth},
	{file: postgresFile, key: "keys_per_event", run: runGrowth},
	{file: folderFile, key: "carom_per_s", run: runFolder},
	{file: folderFile, key: "cpu_s_per_1000", run: runFolder},
}

// figures are measured values, by file and key, and where they were measured. An optional one that is missing is not in it.
type figures struct {
	values  map[string]map[string]float64
	machine map[string]machine
	trial   map[string]bool // a part was a trial run
}

// machine is where a file was measured, as the benchmark writes it.
type machine struct {
	Cores int    `json:"cores"`
	CPU   string `json:"cpu"`
	Date  string `json:"date"`
}

func (f figures) postgres(key string) float64 { return f.values[postgresFile][key] }
func (f figures) folder(key string) float64   { return f.values[folderFile][key] }

// has says whether an optional figure was measured.
func (f figures) has(key string) bool {
	_, ok := f.values[postgresFile][key]
	return ok
}

// readFigures reads the two files of a folder. A figure that the model needs and that is not there is named, with the command
// that measures it.
func readFigures(dir string) (figures, error) {
	f := figures{values: map[string]map[string]float64{}, machine: map[string]machine{}, trial: map[string]bool{}}
	for _, name := range []string{postgresFile, folderFile} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			target := map[string]string{postgresFile: "make bench-postgres", folderFile: "make bench"}[name]
			return f, fmt.Errorf("there are no figures in %s: run `%s`, or name another folder with -dir: %w", filepath.Join(dir, name), target, err)
		}
		if err != nil {
			return f, err
		}
		var keys map[string]json.RawMessage
		var head struct {
			Machine machine `json:"machine"`
			Parts   map[string]struct {
				Quick bool `json:"quick"`
			} `json:"parts"`
			Trial bool `json:"trial"` // as write leaves it
		}
		if err := errors.Join(json.Unmarshal(b, &keys), json.Unmarshal(b, &head)); err != nil {
			return f, fmt.Errorf("%s is not what the benchmark writes: %w", filepath.Join(dir, name), err)
		}
		f.machine[name], f.values[name] = head.Machine, map[string]float64{}
		f.trial[name] = head.Trial
		for _, p := range head.Parts {
			f.trial[name] = f.trial[name] || p.Quick
		}
		for _, w := range inputs {
			if w.file != name {
				continue
			}
			var v *float64
			err := json.Unmarshal(keys[w.key], &v)
			switch {
			case err == nil && v != nil && (*v > 0 || *v == 0 && w.zero) && !math.IsInf(*v, 0):
				f.values[name][w.key] = *v
			case !w.optional:
				return f, fmt.Errorf("%s has no usable figure %s: run `%s`", filepath.Join(dir, name), w.key, w.run)
			}
		}
	}
	return f, nil
}

// write keeps the figures of the model, and nothing else, in a folder, from which readFigures reads the same.
func (f figures) write(dir string) error {
	for name, values := range f.values {
		out := map[string]any{"machine": f.machine[name]}
		if f.trial[name] {
			out["trial"] = true
		}
		for key, v := range values {
			out[key] = v
		}
		b, err := json.MarshalIndent(out, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}
