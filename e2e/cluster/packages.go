//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
)

// packages are what comes from Debian: programs that are not written in Go,
// or that need a C compiler, or that its package does just as well.
var packages = []string{
	"runc",                        // starts containers
	"containernetworking-plugins", // attaches pods to the bridge
	"busybox-static",              // what the test images hold
	"python3",                     // what Argo's examples in Python run
	"iproute2",                    // makes the bridge
	"nftables",                    // kube-proxy's rules
	"mount",                       // the kubelet's volumes
}

// installPackages installs those that are missing.
func installPackages(ctx context.Context, p *gobuild.Progress) error {
	missing, err := missingPackages(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("install %s by hand: this machine has no apt-get", strings.Join(missing, ", "))
	}
	p.Start("install " + strings.Join(missing, " "))
	install := append([]string{"install", "--yes", "--no-install-recommends"}, missing...)
	err = aptGet(ctx, install...)
	if err != nil {
		// A fresh machine, or one that has not been used for long, does not
		// know where the packages are.
		p.Note("update the package lists")
		if err = aptGet(ctx, "update"); err == nil {
			p.Note("")
			err = aptGet(ctx, install...)
		}
	}
	if err != nil {
		p.Fail()
		return err
	}
	p.Done()
	return nil
}

// missingPackages asks dpkg; where there is no dpkg, the programs themselves
// are looked for.
func missingPackages(ctx context.Context) ([]string, error) {
	var missing []string
	if _, err := exec.LookPath("dpkg-query"); err != nil {
		for pkg, file := range map[string]string{
			"runc": "/usr/sbin/runc", "containernetworking-plugins": "/usr/lib/cni/bridge",
			"busybox-static": "/bin/busybox", "python3": "/usr/bin/python3", "nftables": "/usr/sbin/nft",
		} {
			if _, err := os.Stat(file); err != nil {
				missing = append(missing, pkg)
			}
		}
		return missing, nil
	}
	for _, pkg := range packages {
		out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${db:Status-Status}", pkg).Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return nil, err
		}
		if strings.TrimSpace(string(out)) != "installed" {
			missing = append(missing, pkg)
		}
	}
	return missing, nil
}

// aptGet runs apt-get so that it never asks anything.
func aptGet(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=120", "-qq"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
