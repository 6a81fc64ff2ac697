package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/argoseal/argoseal/pkg/tlog"
)

// Bounds of one request of what a log has published, and of the end.
const (
	tilesHeaderTimeout = 5 * time.Second
	tilesTimeout       = 30 * time.Second
	tilesMaxHeader     = 8 << 10
	tilesShutdown      = 5 * time.Second
)

func logTilesCommand() *cobra.Command {
	var dir, address string
	c := &cobra.Command{
		Use:   "log-tiles",
		Short: "Serve the checkpoint and the tiles of a log of our own, to read",
		Long: `Serve the checkpoint and the tiles of a log of our own, to read: Rekor v2 writes them to
its storage and serves none itself. Nothing else of the folder is served. There are no
secrets in them: digests, signatures and public keys.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := requireFlags(map[string]bool{"storage-dir": dir != "", "address": address != ""}); err != nil {
				return err
			}
			return logTiles(c.Context(), dir, address)
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "storage-dir", "", "folder that the log writes to (--storage-dir of rekor-server)")
	f.StringVar(&address, "address", ":8080", "address to listen on; /healthz says that it does")
	return c
}

func logTiles(ctx context.Context, dir, address string) error {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("--storage-dir: %w", err)
	}
	defer func() { _ = folder.Close() }()
	mux := http.NewServeMux()
	mux.Handle("/", tlog.Handler(folder.FS()))
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	server := &http.Server{
		Addr: address, Handler: mux, MaxHeaderBytes: tilesMaxHeader,
		ReadHeaderTimeout: tilesHeaderTimeout, ReadTimeout: tilesTimeout, WriteTimeout: tilesTimeout, IdleTimeout: tilesTimeout,
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), tilesShutdown)
		defer cancel()
		stopped <- server.Shutdown(end)
	}()
	ctrl.Log.Info("Serving the log's tiles", "version", version, "address", address)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the log's tiles: %w", err)
	}
	return <-stopped
}
