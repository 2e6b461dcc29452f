// Command kubernetes checks the manifests of packaging/kubernetes without a cluster: that each field is one that Kubernetes knows, and
// that what one part says of another is so.
//
// Its argument is the folder. It prints what is wrong, one finding a line, and ends with 1 then.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: kubernetes FOLDER")
		os.Exit(2)
	}
	findings, err := check(os.DirFS(os.Args[1]))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, f := range findings {
		fmt.Println(f)
	}
	if len(findings) > 0 {
		os.Exit(1)
	}
}

// manifests are all objects of the folder.
type manifests struct {
	namespaces  []core.Namespace
	configs     []core.ConfigMap
	secrets     []core.Secret
	deployments []apps.Deployment
	services    []core.Service
	budgets     []policy.PodDisruptionBudget
	policies    []networking.NetworkPolicy
}

// check returns what is wrong with the folder's manifests.
func check(dir fs.FS) (findings []string, err error) {
	var m manifests
	listed, err := resources(dir)
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(dir, "*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		if name == "kustomization.yaml" {
			continue
		}
		if !slices.Contains(listed, name) {
			findings = append(findings, name+": kustomization.yaml does not list it")
		}
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		for _, fault := range m.read(text) {
			findings = append(findings, name+": "+fault)
		}
	}
	for _, name := range listed {
		if !slices.Contains(files, name) {
			findings = append(findings, "kustomization.yaml lists "+name+", which is not there")
		}
	}
	return append(findings, m.relate()...), nil
}

// resources are the files that kustomization.yaml lists.
func resources(dir fs.FS) ([]string, error) {
	text, err := fs.ReadFile(dir, "kustomization.yaml")
	if err != nil {
		return nil, err
	}
	var k struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Namespace  string   `json:"namespace"`
		Resources  []string `json:"resources"`
	}
	if err := strict.UnmarshalStrict(text, &k); err != nil {
		return nil, fmt.Errorf("kustomization.yaml: %w", err)
	}
	return k.Resources, nil
}

// read takes up the objects of a file, and returns what Kubernetes would not understand.
func (m *manifests) read(text []byte) (faults []string) {
	documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text)))
	defer func() { _ = documents.Close() }() // it only read
	buffer := make([]byte, 1<<20)
	for {
		n, err := documents.Read(buffer)
		if errors.Is(err, io.EOF) {
			return faults
		}
		if err != nil {
			return append(faults, err.Error())
		}
		if err := m.take(buffer[:n]); err != nil {
			faults = append(faults, err.Error())
		}
	}
}

func (m *manifests) take(document []byte) error {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := strict.Unmarshal(document, &head); err != nil {
		return err
	}
	switch what := head.APIVersion + " " + head.Kind; what {
	case "v1 Namespace":
		return add(document, &m.namespaces)
	case "v1 ConfigMap":
		return add(document, &m.configs)
	case "v1 Secret":
		return add(document, &m.secrets)
	case "apps/v1 Deployment":
		return add(document, &m.deployments)
	case "v1 Service":
		return add(document, &m.services)
	case "policy/v1 PodDisruptionBudget":
		return add(document, &m.budgets)
	case "networking.k8s.io/v1 NetworkPolicy":
		return add(document, &m.policies)
	default:
		return fmt.Errorf("%s is not checked: add it to tools/kubernetes", what)
	}
}

// add decodes an object and refuses fields that its kind does not have, and those that are given twice.
func add[T any](document []byte, to *[]T) error {
	var one T
	if err := strict.UnmarshalStrict(document, &one); err != nil {
		return err
	}
	*to = append(*to, one)
	return nil
}

// relate returns where one object names what another does not have.
func (m *manifests) relate() (findings []string) {
	find := func(format string, args ...any) { findings = append(findings, fmt.Sprintf(format, args...)) }
	if len(m.deployments) != 1 {
		find("there are %d Deployments, want 1", len(m.deployments))
		return findings
	}
	d := m.deployments[0]
	pod := labels.Set(d.Spec.Template.Labels)
	selected := func(what string, by map[string]string) {
		if !labels.SelectorFromSet(by).Matches(pod) || len(by) == 0 {
			find("%s selects %v, which the pods are not", what, by)
		}
	}
	selected("the Deployment", d.Spec.Selector.MatchLabels)
	for _, b := range m.budgets {
		selected("PodDisruptionBudget "+b.Name, b.Spec.Selector.MatchLabels)
	}
	for _, p := range m.policies {
		selected("NetworkPolicy "+p.Name, p.Spec.PodSelector.MatchLabels)
	}
	for _, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
		selected("the spread over "+c.TopologyKey, c.LabelSelector.MatchLabels)
	}
	c := d.Spec.Template.Spec.Containers[0]
	var ports []string
	for _, p := range c.Ports {
		ports = append(ports, p.Name)
	}
	named := func(what string, port intstr.IntOrString) {
		if port.Type == intstr.String && !slices.Contains(ports, port.StrVal) {
			find("%s names the port %q, which the container does not have", what, port.StrVal)
		}
	}
	for _, s := range m.services {
		selected("Service "+s.Name, s.Spec.Selector)
		for _, p := range s.Spec.Ports {
			named("Service "+s.Name, p.TargetPort)
		}
	}
	for _, p := range m.policies {
		for _, rule := range p.Spec.Ingress {
			for _, port := range rule.Ports {
				named("NetworkPolicy "+p.Name, *port.Port)
			}
		}
	}
	for name, probe := range map[string]*core.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil {
			find("there is no %s probe over HTTP", name)
			continue
		}
		named("the "+name+" probe", probe.HTTPGet.Port)
	}
	mounts := map[string]string{} // folders by volume
	for _, mount := range c.VolumeMounts {
		mounts[mount.Name] = mount.MountPath
	}
	files := map[string]string{} // what each file in the container holds
	for _, v := range d.Spec.Template.Spec.Volumes {
		at, mounted := mounts[v.Name]
		if !mounted {
			find("the volume %s is mounted nowhere", v.Name)
		}
		delete(mounts, v.Name)
		var held map[string]string
		switch {
		case v.ConfigMap != nil:
			held = dataOf(m.configs, v.ConfigMap.Name, func(c core.ConfigMap) (string, map[string]string) { return c.Name, c.Data })
		case v.Secret != nil:
			held = dataOf(m.secrets, v.Secret.SecretName, func(s core.Secret) (string, map[string]string) { return s.Name, s.StringData })
		default:
			continue
		}
		if held == nil {
			find("the volume %s is of what is not there", v.Name)
		}
		for key, text := range held {
			files[filepath.ToSlash(filepath.Join(at, key))] = text
		}
	}
	for name := range maps.Keys(mounts) {
		find("%s is mounted and is no volume", name)
	}
	return append(findings, m.settings(c, files, d.Spec.Template.Spec.TerminationGracePeriodSeconds)...)
}

func dataOf[T any](all []T, name string, read func(T) (string, map[string]string)) map[string]string {
	for _, one := range all {
		if got, data := read(one); got == name {
			return data
		}
	}
	return nil
}

// settings checks what the process is told: files that are there, a folder that can be written to, and time enough to stop.
func (m *manifests) settings(c core.Container, files map[string]string, grace *int64) (findings []string) {
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	var s struct {
		Data          string `json:"data"`
		Config        string `json:"config"`
		ShutdownGrace string `json:"shutdown_grace"`
	}
	if err := strict.Unmarshal([]byte(files[env["CAROM_SETTINGS"]]), &s); err != nil {
		return []string{"the settings file: " + err.Error()}
	}
	named := map[string]string{"config": s.Config}
	for _, name := range []string{"CAROM_SETTINGS", "CAROM_DATABASE_FILE", "CAROM_SECRETS_KEY_FILE"} {
		named[name] = env[name]
	}
	for what, path := range named {
		if _, there := files[path]; !there {
			findings = append(findings, fmt.Sprintf("%s names %q, which is in no volume", what, path))
		}
	}
	for line := range strings.Lines(files[s.Config]) {
		if key, path, found := strings.Cut(strings.TrimSpace(line), "_file: "); found {
			if _, there := files[strings.TrimSpace(path)]; !there {
				findings = append(findings, fmt.Sprintf("%s_file names %q, which is in no volume", key, path))
			}
		}
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(v core.VolumeMount) bool { return v.MountPath == s.Data && !v.ReadOnly }) || env["CAROM_DATA"] != s.Data {
		findings = append(findings, fmt.Sprintf("the data folder %q is no volume that can be written to, or CAROM_DATA is another", s.Data))
	}
	stops, err := time.ParseDuration(s.ShutdownGrace)
	if err != nil {
		return append(findings, "shutdown_grace: "+err.Error())
	}
	if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Sleep != nil {
		stops += time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	}
	const leave = 10 * time.Second // to store what is left, and to give the lease back
	if grace == nil || time.Duration(*grace)*time.Second < stops+leave {
		findings = append(findings, fmt.Sprintf("terminationGracePeriodSeconds is shorter than the pause, shutdown_grace and %v: %v", leave, stops+leave))
	}
	return findings
}
