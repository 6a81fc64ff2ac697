//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/cluster/pki"
	"github.com/argoseal/argoseal/e2e/cluster/proc"
)

// raiseTimeout bounds everything that comes after building. It takes about
// half a minute on two cores.
const raiseTimeout = 5 * time.Minute

// cluster is one cluster while a command works on it.
type cluster struct {
	layout    layout.Layout
	procs     proc.Store
	progress  *gobuild.Progress
	workloads []part.Workload
	requeue   string
}

// up raises the cluster, or what is missing of it.
func up(ctx context.Context, l layout.Layout, workloads []part.Workload, requeue string) error {
	c := &cluster{layout: l, progress: gobuild.NewProgress(os.Stderr), workloads: workloads, requeue: requeue}
	if err := installPackages(ctx, c.progress); err != nil {
		return err
	}
	cache, err := gobuild.DefaultCache()
	if err != nil {
		return err
	}
	if err := cache.Build(ctx, c.progress, part.Cluster(workloads)...); err != nil {
		return err
	}
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, raiseTimeout)
	defer cancel()
	unlock, err := lock(ctx, l)
	if err != nil {
		return err
	}
	defer unlock()
	if c.healthy(ctx) == nil {
		fmt.Fprintf(os.Stderr, "the cluster is up: export KUBECONFIG=%s\n", l.Kubeconfig())
		return nil
	}
	c.progress.Start("raise the cluster")
	if err := c.raise(ctx); err != nil {
		c.progress.Fail()
		return fmt.Errorf("%w\nlogs are in %s; `make cluster-down` removes what is there", err, l.Path("logs"))
	}
	c.progress.Done()
	fmt.Fprintf(os.Stderr, "the cluster is up after %s: export KUBECONFIG=%s\n",
		time.Since(started).Round(100*time.Millisecond), l.Kubeconfig())
	return nil
}

// raise brings up everything that is not there yet. Each step leaves alone
// what it finds in order, so this repairs a cluster that is half up, too.
func (c *cluster) raise(ctx context.Context) error {
	if err := c.prepare(ctx); err != nil {
		return err
	}
	hosts := map[string]chan struct{}{} // closed when the host answers
	for _, h := range part.Hosts() {
		hosts[h.Name] = make(chan struct{})
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range part.Hosts() {
		g.Go(func() error {
			for _, name := range h.After {
				select {
				case <-hosts[name]:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if err := c.ensureHost(ctx, h); err != nil {
				return err
			}
			close(hosts[h.Name])
			return nil
		})
	}
	refs := map[string]string{}
	loaded := make(chan struct{})
	g.Go(func() error {
		defer close(loaded)
		return c.loadImages(ctx, hosts["containerd"], refs)
	})
	g.Go(func() error {
		select {
		case <-hosts["kube-apiserver"]:
		case <-ctx.Done():
			return ctx.Err()
		}
		return c.ensureWorkloads(ctx, loaded, refs)
	})
	return g.Wait()
}

// prepare makes folders, keys, cgroups and the bridge.
func (c *cluster) prepare(ctx context.Context) error {
	l := c.layout
	s, found, err := loadState(l)
	if err != nil {
		return err
	}
	if found && s.Boot != boot() {
		c.progress.Note("clearing what the last boot left")
		if err := c.clear(ctx, s); err != nil {
			return err
		}
		found = false
	}
	if !found {
		if err := conflicts(ctx); err != nil {
			return err
		}
		if s, err = newState(l); err != nil {
			return err
		}
	}
	for _, dir := range []string{"conf", "run", "logs", "tmp", "s", "kubelet", "pod-logs"} {
		if err := os.MkdirAll(l.Path(dir), 0o755); err != nil {
			return err
		}
	}
	host, err := makeCgroups(l)
	if err != nil {
		return err
	}
	c.procs = proc.Store{Dir: l.Path("procs"), Logs: l.Path("logs"), Cgroup: host}
	if err := c.makeKeys(); err != nil {
		return err
	}
	return errors.Join(forwardPackets(), makeBridge(ctx))
}

// makeKeys makes all keys at once or, if they are complete, those that are missing of
// parts that this cluster did not have before.
func (c *cluster) makeKeys() error {
	done := c.layout.PKI("complete")
	_, err := os.Stat(done)
	complete := err == nil
	authority := pki.New
	if complete {
		authority = pki.Open
	}
	a, err := authority(filepath.Dir(done))
	if err != nil {
		return err
	}
	leaves := []pki.Leaf{part.Admin}
	for _, h := range part.Hosts() {
		leaves = append(leaves, h.Leaves...)
	}
	for _, w := range c.workloads {
		leaves = append(leaves, w.Leaves...)
	}
	for _, leaf := range leaves {
		if a.Issued(leaf) {
			continue
		}
		if err := a.Issue(leaf); err != nil {
			return err
		}
	}
	if complete {
		return nil
	}
	return errors.Join(
		a.WriteTokenKey("serviceaccount"),
		os.WriteFile(c.layout.Kubeconfig(), []byte(part.AdminKubeconfig(c.layout)), 0o600),
		os.WriteFile(done, nil, 0o600),
	)
}

// ensureHost starts a host part unless it runs and answers, and waits until
// it does.
func (c *cluster) ensureHost(ctx context.Context, h part.Host) error {
	if r, ok := c.procs.Get(h.Name); ok && r.Alive() {
		if c.current(h, r) && c.await(ctx, h, 5*time.Second, nil) == nil {
			return nil
		}
		if err := r.Stop(h.Grace); err != nil {
			return err
		}
	}
	if err := h.WriteFiles(c.layout); err != nil {
		return err
	}
	exited, err := c.procs.Start(proc.Spec{Name: h.Name, Command: h.Command(c.layout)})
	if err != nil {
		return err
	}
	if err := c.await(ctx, h, time.Minute, exited); err != nil {
		return fmt.Errorf("%s: %w%s", h.Name, err, c.lastLines(h.Name))
	}
	return nil
}

// current tells whether a running process is of the version, and has the flags
// and files, that it would be started with now.
func (c *cluster) current(h part.Host, r proc.Record) bool {
	return slices.Equal(r.Args, h.Command(c.layout)) && h.Current(c.layout)
}

// await probes a host until it answers, ends or takes too long.
func (c *cluster) await(ctx context.Context, h part.Host, timeout time.Duration, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := h.Probe(ctx, c.layout)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return errors.New("it ended")
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// lastLines is the end of a process's log, for the error message.
func (c *cluster) lastLines(name string) string {
	data, err := os.ReadFile(c.layout.Log(name))
	if err != nil || len(data) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return "\n  " + strings.Join(lines[max(0, len(lines)-5):], "\n  ")
}
