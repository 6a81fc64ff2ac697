//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// makeBridge creates the bridge with the node's address. The CNI plugin would
// do so too, but only for the first pod, and the API server listens there
// before any pod exists.
func makeBridge(ctx context.Context) error {
	if _, err := net.InterfaceByName(layout.Bridge); err == nil {
		return nil
	}
	for _, args := range [][]string{
		// A fixed address: a bridge otherwise takes that of its lowest port
		// and changes it whenever a pod comes or goes.
		{"link", "add", layout.Bridge, "address", "0a:58:0a:f4:00:01", "type", "bridge"},
		{"address", "add", layout.BridgeCIDR, "dev", layout.Bridge},
		{"link", "set", layout.Bridge, "up"},
		// Services have a route even on a machine without a default one, and
		// traffic for them never leaves the machine.
		{"route", "replace", layout.ServiceCIDR, "dev", layout.Bridge},
	} {
		if err := run(ctx, "ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// removeNetwork removes pod interfaces, the bridge and kube-proxy's tables.
func removeNetwork(ctx context.Context) error {
	var errs []error
	for _, name := range append(podInterfaces(), layout.Bridge) {
		// It may go by itself meanwhile, with its network namespace.
		if !interfaceExists(name) {
			continue
		}
		if err := run(ctx, "ip", "link", "delete", name); err != nil && interfaceExists(name) {
			errs = append(errs, err)
		}
	}
	if _, err := exec.LookPath("nft"); err != nil {
		return errors.Join(errs...) // so nobody has made a table
	}
	tables, err := exec.CommandContext(ctx, "nft", "list", "tables").Output()
	errs = append(errs, err)
	for _, t := range part.ProxyTables() {
		if slices.Contains(strings.Split(string(tables), "\n"), "table "+t[0]+" "+t[1]) {
			errs = append(errs, run(ctx, "nft", "delete", "table", t[0], t[1]))
		}
	}
	return errors.Join(errs...)
}

// podInterfaces lists this machine's ends of the pods' interfaces: the ports of
// the bridge and, should somebody have deleted the bridge, what the plugins
// wrote down when they made them.
func podInterfaces() []string {
	var names []string
	ports, _ := filepath.Glob(filepath.Join("/sys/class/net", layout.Bridge, "brif", "*")) // well-formed
	for _, port := range ports {
		names = append(names, filepath.Base(port))
	}
	for _, file := range cniResults() {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		var cached struct {
			Result struct {
				Interfaces []struct{ Name, Sandbox string }
			}
		}
		if json.Unmarshal(data, &cached) != nil {
			continue
		}
		for _, i := range cached.Result.Interfaces {
			if i.Sandbox == "" && i.Name != layout.Bridge && !slices.Contains(names, i.Name) {
				names = append(names, i.Name)
			}
		}
	}
	return names
}

// cniResults lists the files in which the plugin library keeps a result for
// each pod, under the name of our network.
func cniResults() []string {
	files, _ := filepath.Glob("/var/lib/cni/results/argoseal-*") // well-formed
	return files
}

func interfaceExists(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

// conflicts refuses a machine on which the cluster's addresses or
// kube-proxy's tables belong to somebody else.
func conflicts(ctx context.Context) error {
	var errs []error
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			for _, cidr := range []string{layout.PodCIDR, layout.ServiceCIDR} {
				_, ours, err := net.ParseCIDR(cidr)
				if n, ok := a.(*net.IPNet); ok && err == nil && (ours.Contains(n.IP) || n.Contains(ours.IP)) {
					errs = append(errs, fmt.Errorf("interface %s has %s, which the cluster needs (%s)", i.Name, a, cidr))
				}
			}
		}
	}
	if tables, err := exec.CommandContext(ctx, "nft", "list", "tables").Output(); err == nil {
		for _, t := range part.ProxyTables() {
			if strings.Contains(string(tables), "table "+t[0]+" "+t[1]+"\n") {
				errs = append(errs, fmt.Errorf("there is a kube-proxy on this machine already (nft table %s %s)", t[0], t[1]))
			}
		}
	}
	return errors.Join(errs...)
}

// sysctls are the kernel's settings that the cluster changes: the first two
// for us, the others by the kubelet. They are put back by `down`.
var sysctls = []string{
	"net/ipv4/ip_forward",
	"net/ipv4/conf/all/route_localnet",
	"vm/overcommit_memory",
	"vm/panic_on_oom",
	"kernel/panic",
	"kernel/panic_on_oops",
	"kernel/keys/root_maxkeys",
	"kernel/keys/root_maxbytes",
}

// readSysctls notes the settings as they are.
func readSysctls() map[string]string {
	values := map[string]string{}
	for _, name := range sysctls {
		if data, err := os.ReadFile(filepath.Join("/proc/sys", name)); err == nil {
			values[name] = strings.TrimSpace(string(data))
		}
	}
	return values
}

// restoreSysctls puts the settings back that have changed since.
func restoreSysctls(before map[string]string) error {
	var errs []error
	now := readSysctls()
	for name, value := range before {
		if now[name] != value {
			errs = append(errs, os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644))
		}
	}
	return errors.Join(errs...)
}

// forwardPackets lets the machine route between pods and services.
func forwardPackets() error {
	err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("cannot switch on IP forwarding: %w", err)
	}
	return err
}

// run runs a command of the system, within a minute.
func run(ctx context.Context, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
