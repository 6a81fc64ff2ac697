package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set at link time; without that, the build information counts.
var version = ""

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "argoseal %s\n%s %s/%s\n", versionOfArgoseal(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// describe names the version and the commit, as far as they are known.
func describe(linked string, info *debug.BuildInfo) string {
	name, commit, dirty := linked, "", ""
	if info != nil {
		if name == "" {
			name = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = " (" + s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = ", changed"
			}
		}
	}
	if name == "" {
		name = "(devel)"
	}
	if commit != "" {
		commit += dirty + ")"
	}
	return name + commit
}

// versionOfArgoseal is what statements say of this program.
func versionOfArgoseal() string {
	info, _ := debug.ReadBuildInfo()
	return describe(version, info)
}
