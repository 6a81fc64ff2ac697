//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/part"
)

func envCommand() *cobra.Command {
	return &cobra.Command{
		Use: "env", Short: "Print shell lines that name what is built", Args: cobra.NoArgs,
		Long: "Print shell lines for `eval`: KUBECONFIG if the cluster is up, a PATH with everything\n" +
			"that is built, and ARGOSEAL_BIN_<PROGRAM> for each program. It builds nothing.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := layout.Default()
			if err != nil {
				return err
			}
			cache, err := gobuild.DefaultCache()
			if err != nil {
				return err
			}
			return writeEnv(cmd.OutOrStdout(), l, cache)
		},
	}
}

// writeEnv prints export lines. Paths are quoted for a shell. The path of a cluster that is
// not there would only take the user's own KUBECONFIG away.
func writeEnv(w io.Writer, l layout.Layout, cache gobuild.Cache) error {
	var lines, dirs []string
	if raised(l) {
		lines = append(lines, export("KUBECONFIG", l.Kubeconfig()))
	}
	for _, r := range part.Recipes() {
		if !cache.Built(r) {
			continue
		}
		dirs = append(dirs, cache.BinDir(r))
		for _, t := range r.Targets {
			name := "ARGOSEAL_BIN_" + strings.ToUpper(strings.ReplaceAll(t.Name, "-", "_"))
			lines = append(lines, export(name, cache.Path(r, t.Name)))
		}
	}
	if len(dirs) > 0 {
		lines = append(lines, export("PATH", strings.Join(dirs, ":")+":")+`"$PATH"`)
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

func export(name, value string) string {
	return "export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

var (
	errNotLinux = errors.New("the development cluster needs Linux: " +
		"point KUBECONFIG at a cluster with Argo Workflows, or run this in a Linux virtual machine")
	errNotRoot = errors.New("the development cluster needs root: " +
		"use sudo -E, or point KUBECONFIG at a cluster with Argo Workflows")
)

// onThisMachine refuses machines the cluster cannot be raised on, with what
// to do instead.
func onThisMachine() (layout.Layout, error) {
	if runtime.GOOS != "linux" {
		return layout.Layout{}, errNotLinux
	}
	if os.Geteuid() != 0 {
		return layout.Layout{}, errNotRoot
	}
	return layout.Default()
}
