//go:build unix

// Command cluster raises a real Kubernetes cluster with Argo Workflows and an
// S3 store on this machine, without Docker and without a registry, and takes
// it down again without a trace.
//
//	go run ./e2e/cluster up          raise it, or repair it; --with adds extras
//	go run ./e2e/cluster down        remove it
//	go run ./e2e/cluster kubeconfig  print the kubeconfig's path
//	go run ./e2e/cluster build NAME… build parts or tools, such as helm
//	go run ./e2e/cluster env         print shell lines that name what is built
//	go run ./e2e/cluster load FILE…  load image archives into it
//	go run ./e2e/cluster namespace NAME  make a namespace that can run workflows
//
// Everything in it is built from pinned Go modules (package part), into a
// cache outside the checkout (package gobuild).
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/kube"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/part"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "cluster",
		Short:         "A real development cluster on this machine",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(upCommand(), downCommand(), kubeconfigCommand(), buildCommand(), envCommand(), loadCommand(), namespaceCommand())
	return root
}

func upCommand() *cobra.Command {
	requeue := os.Getenv("ARGOSEAL_REQUEUE_TIME")
	if requeue == "" {
		requeue = "1s"
	}
	var extras []string
	cmd := &cobra.Command{
		Use: "up", Short: "Raise the cluster, or repair it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := onThisMachine()
			if err != nil {
				return err
			}
			if d, err := time.ParseDuration(requeue); err != nil || d <= 0 {
				return fmt.Errorf("--requeue-time %q is no duration, such as 1s", requeue)
			}
			workloads, err := part.Workloads(extras...)
			if err != nil {
				return err
			}
			return up(cmd.Context(), l, workloads, requeue)
		},
	}
	cmd.Flags().StringVar(&requeue, "requeue-time", requeue,
		"Argo's DEFAULT_REQUEUE_TIME (10s in production); also ARGOSEAL_REQUEUE_TIME")
	cmd.Flags().StringSliceVar(&extras, "with", nil,
		"`parts` that not every cluster has: "+strings.Join(part.Extras(), ", ")+"; to leave this out later does not remove them")
	return cmd
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Remove the cluster", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := onThisMachine()
			if err != nil {
				return err
			}
			return down(cmd.Context(), l)
		},
	}
}

func kubeconfigCommand() *cobra.Command {
	return &cobra.Command{
		Use: "kubeconfig", Short: "Print the path of the kubeconfig", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := layout.Default()
			if err != nil {
				return err
			}
			fmt.Println(l.Kubeconfig())
			return nil
		},
	}
}

func buildCommand() *cobra.Command {
	return &cobra.Command{
		Use: "build NAME...", Short: "Build parts or tools into the cache", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			var recipes []gobuild.Recipe
			for _, name := range names {
				r, err := part.Recipe(name)
				if err != nil {
					return err
				}
				recipes = append(recipes, r)
			}
			cache, err := gobuild.DefaultCache()
			if err != nil {
				return err
			}
			return cache.Build(cmd.Context(), gobuild.NewProgress(os.Stderr), recipes...)
		},
	}
}

func loadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "load FILE...", Short: "Load image archives into the cluster", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			l, err := onThisMachine()
			if err != nil {
				return err
			}
			for _, f := range files {
				if err := part.LoadArchive(cmd.Context(), l, f); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func namespaceCommand() *cobra.Command {
	return &cobra.Command{
		Use: "namespace NAME...", Short: "Make namespaces that can run workflows", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			l, err := layout.Default()
			if err != nil {
				return err
			}
			config, err := kube.Config(l.Kubeconfig())
			if err != nil {
				return err
			}
			for _, name := range names {
				if err := kube.PrepareNamespace(cmd.Context(), config, name, nil); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
