// Command images builds Argoseal's container images, without Docker and
// without a registry, and takes them where they are needed.
//
//	go run ./e2e/images build          build them into bin/images
//	go run ./e2e/images load           load them into the development cluster
//	go run ./e2e/images push R         push them to R/argoseal-webhook, …
//
// What is pushed is for each architecture that --arch names, amd64 and arm64 unless it
// is given: one index a program, of which each node takes its own. What is built for the
// development cluster is for this machine alone.
//
// Each image is one static program and nothing else, so there is nothing in it
// to patch. Equal source and an equal Go give equal digests. Next to the
// images it writes digests.json, values.yaml and argoseal-sentinel.values.yaml: the
// values that make the charts use exactly these images.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// published are the architectures of what is pushed.
var published = []string{"amd64", "arm64"}

// localRepository prefixes the names of images that no registry has.
const localRepository = "localhost/argoseal"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return command().ExecuteContext(ctx)
}

func command() *cobra.Command {
	b := builder{out: "bin/images", repository: localRepository, progress: gobuild.NewProgress(os.Stderr)}
	root := &cobra.Command{
		Use:           "images",
		Short:         "Argoseal's container images",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) (err error) {
			b.version, err = appVersion("charts/argoseal/Chart.yaml")
			return err
		},
	}
	root.PersistentFlags().StringVar(&b.out, "out", b.out, "folder to write to")
	root.PersistentFlags().StringSliceVar(&b.arches, "arch", nil, "architectures to build for, this machine's among them (default: this machine's, and amd64,arm64 to push)")
	root.AddCommand(buildCommand(&b), loadCommand(&b), pushCommand(&b))
	return root
}

func buildCommand(b *builder) *cobra.Command {
	return &cobra.Command{
		Use: "build", Short: "Build the images", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(b.arches) == 0 {
				b.arches = []string{runtime.GOARCH}
			}
			_, err := b.build(cmd.Context())
			return err
		},
	}
}

func loadCommand(b *builder) *cobra.Command {
	return &cobra.Command{
		Use: "load", Short: "Load the images of `build` into the development cluster, if there is one", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := layout.Default()
			if err != nil {
				return err
			}
			if _, err := os.Stat(l.ContainerdSocket()); errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintln(os.Stderr, "There is no development cluster on this machine to load the images into.")
				return nil
			}
			for _, p := range programs {
				archive := b.archive(p)
				if _, err := os.Stat(archive); err != nil {
					return fmt.Errorf("%w: run `build` first", err)
				}
				b.progress.Start("load " + p.name)
				if err := part.LoadArchive(cmd.Context(), l, archive); err != nil {
					b.progress.Fail()
					return err
				}
				b.progress.Done()
			}
			return nil
		},
	}
}

func pushCommand(b *builder) *cobra.Command {
	return &cobra.Command{
		Use: "push REPOSITORY", Short: "Build the images and push them to a registry", Args: cobra.ExactArgs(1),
		Long: "Build the images and push them to REPOSITORY/argoseal-webhook and so on, with the\ncredentials that Docker's configuration file has for that registry.",
		RunE: func(cmd *cobra.Command, args []string) error {
			b.repository = args[0]
			if len(b.arches) == 0 {
				b.arches = published
			}
			images, err := b.build(cmd.Context())
			if err != nil {
				return err
			}
			return b.push(cmd.Context(), images)
		},
	}
}

// appVersion reads the version that the chart is for.
func appVersion(chart string) (string, error) {
	content, err := os.ReadFile(chart)
	if err != nil {
		return "", fmt.Errorf("%w: run this at the top of the checkout", err)
	}
	var c struct {
		AppVersion string `json:"appVersion"`
	}
	if err := yaml.Unmarshal(content, &c); err != nil {
		return "", fmt.Errorf("%s: %w", chart, err)
	}
	if c.AppVersion == "" {
		return "", fmt.Errorf("%s has no appVersion", chart)
	}
	return c.AppVersion, nil
}
