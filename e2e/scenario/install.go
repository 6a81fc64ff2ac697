package scenario

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
)

// Install puts Argoseal into the cluster and returns the pods of Argo's
// example, in the namespace plain, as they were without it: see Unlabelled. The
// images are built while the example runs. What is installed is taken out
// first.
func Install(ctx context.Context, s *Stage, plain string) ([]string, error) {
	installed, err := s.Lab.Installed(ctx)
	if err != nil {
		return nil, err
	}
	if installed {
		fmt.Fprintln(s.Out, "Argoseal is installed: taking it out for a moment, to see the pods of a cluster without it.")
		if err := s.Make(ctx, "uninstall"); err != nil {
			return nil, err
		}
	}
	fmt.Fprintln(s.Out, "Without Argoseal: running Argo's artifact-passing example, and building the images meanwhile.")
	var (
		wg        sync.WaitGroup
		images    error
		baseline  []string
		recording error
	)
	wg.Go(func() { images = s.Make(ctx, "images") })
	wg.Go(func() { baseline, recording = Record(ctx, s, plain) })
	wg.Wait()
	if err := errors.Join(images, recording); err != nil {
		return nil, err
	}
	if err := s.Make(ctx, "install"); err != nil {
		return nil, err
	}
	return baseline, s.Lab.AwaitGuards(ctx)
}

// Make makes a target of the Makefile, with variables, in the development cluster, whichever
// other one the environment names.
func (s *Stage) Make(ctx context.Context, target string, variables ...string) error {
	fmt.Fprintf(s.Out, "$ make %s\n", target)
	cmd := exec.CommandContext(ctx, "make", append([]string{"--no-print-directory", "-C", s.Root, target, "REGISTRY=", "KUBECONFIG="}, variables...)...)
	cmd.Stdout, cmd.Stderr = s.Out, s.Out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make %s: %w", target, err)
	}
	return nil
}
