package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/notary/keyring"
)

const (
	// logKeyFile is what the chart's Rekor reads, in --output-dir.
	logKeyFile = "log.pem"
	// logKeyTimeout bounds one try; an init container is started again.
	logKeyTimeout = time.Minute
)

func logKeyCommand() *cobra.Command {
	var log keyring.OwnLog
	var dir string
	c := &cobra.Command{
		Use:   "log-key",
		Short: "Make the key of a log of our own once, and the trusted root that speaks of it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := requireFlags(map[string]bool{
				"namespace": log.Namespace != "", "url": log.URL != "", "hostname": log.Hostname != "", "output-dir": dir != "",
			}); err != nil {
				return err
			}
			log.KeyFile = filepath.Join(dir, logKeyFile)
			return logKey(c.Context(), log)
		},
	}
	f := c.Flags()
	f.StringVar(&log.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of Argoseal (env POD_NAMESPACE)")
	f.StringVar(&log.Hostname, "hostname", "", "what the log is told to be called: the host of --url")
	f.StringVar(&log.URL, "url", "", "the log's base URL")
	f.StringVar(&dir, "output-dir", "", "folder to write "+logKeyFile+" to")
	return c
}

func logKey(ctx context.Context, log keyring.OwnLog) error {
	config, scheme, err := connect()
	if err != nil {
		return err
	}
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, logKeyTimeout)
	defer cancel()
	return log.Ensure(ctx, api)
}
