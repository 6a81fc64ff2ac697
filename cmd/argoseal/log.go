package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tlog"
	"github.com/argoseal/argoseal/pkg/verify"
)

// maxAudited is how many bundles are looked for in a log at once: each is some KiB in
// memory.
const maxAudited = 1 << 20

type logOptions struct {
	trustedRoot string
	bundles     string
}

func logCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Copy and audit a transparency log",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(logAuditCommand(), logCopyCommand())
	return c
}

func (o *logOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.trustedRoot, "trusted-root", configFile("trusted_root.json"), "Sigstore trusted root with the log's key")
}

func logAuditCommand() *cobra.Command {
	o := &logOptions{}
	c := &cobra.Command{
		Use:   "audit FOLDER",
		Short: "Check a copy of a log offline, every entry of it",
		Long: `Check a copy of a log offline: a key of the trusted root signed its checkpoint, every
entry hashes up to that, and every tile is what the entries hash to. With --bundles:
every seal in that folder (*.json, also below it) that says it is in this log is in it,
where it says, and there has to be one. (Whether it is genuine, argoseal verify says.)

FOLDER has what a Rekor v2 publishes: checkpoint and tile/. argoseal log copy makes one;
so does any copy of its volume.`,
		Example: `  argoseal log audit copy
  argoseal export --to seals
  argoseal log audit copy --bundles seals`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := o.audit(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), printable(found))
			return err
		},
	}
	o.flags(c)
	c.Flags().StringVar(&o.bundles, "bundles", "", "folder with seals that have to be in the log")
	return c
}

// audit checks the copy, and says what it found.
func (o *logOptions) audit(ctx context.Context, dir string) (string, error) {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return "", usage(err)
	}
	defer func() { _ = folder.Close() }()
	copied := tlog.Folder{FS: folder.FS()}
	log, checkpoint, err := o.checkpoint(ctx, copied)
	if err != nil {
		return "", err
	}
	sought, err := soughtIn(o.bundles, log)
	if err != nil {
		return "", err
	}
	if o.bundles != "" && sought.count == 0 {
		return "", reason.New(reason.LogEntryInvalid, "none of the %d seals in %s is in the log %s (id %s)", sought.elsewhere, o.bundles, log.URL, log.ID)
	}
	err = tlog.Audit(ctx, copied, checkpoint, func(index uint64, entry []byte) error {
		for _, s := range sought.at[index] {
			if !bytes.Equal(s.body, entry) {
				return reason.New(reason.LogEntryInvalid, "%s is not what the log has at index %d", s.file, index)
			}
		}
		delete(sought.at, index)
		return nil
	})
	if err != nil {
		return "", err
	}
	if len(sought.at) > 0 {
		index := slices.Min(slices.Collect(maps.Keys(sought.at)))
		return "", reason.New(reason.LogEntryInvalid, "%s is at index %d, and the log has %d entries", sought.at[index][0].file, index, checkpoint.Size)
	}
	which := log.ID
	if end := log.End(); !end.IsZero() {
		which += ", whose time ends at " + end.UTC().Format(time.RFC3339)
	}
	found := fmt.Sprintf("The log %s (id %s) has %d entries, and each hashes up to its checkpoint.", log.URL, which, checkpoint.Size)
	if o.bundles != "" {
		found += fmt.Sprintf(" %d seals are in it; %d are of other logs.", sought.count, sought.elsewhere)
	}
	return found, nil
}

// checkpoint is the log's, under a key of the trusted root.
func (o *logOptions) checkpoint(ctx context.Context, from tlog.Reader) (tlog.Log, *tlog.Checkpoint, error) {
	root, err := readBounded(o.trustedRoot, maxTrust)
	if err != nil {
		return tlog.Log{}, nil, err
	}
	logs, err := tlog.Logs(root)
	if err != nil {
		return tlog.Log{}, nil, usage(fmt.Errorf("--trusted-root: %w", err))
	}
	raw, err := tlog.ReadCheckpoint(ctx, from)
	if err != nil {
		return tlog.Log{}, nil, usage(err)
	}
	return tlog.OpenAny(logs, raw)
}

// sought are entries that have to be in the log, by their index.
type sought struct {
	at               map[uint64][]soughtEntry
	count, elsewhere int
}

type soughtEntry struct {
	file string
	body []byte
}

// soughtIn reads the bundles of a folder. A bundle that cannot be read is an error:
// if it were left out, it would pass as one that is in the log.
func soughtIn(dir string, log tlog.Log) (sought, error) {
	s := sought{at: map[uint64][]soughtEntry{}}
	if dir == "" {
		return s, nil
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return usage(err)
		}
		if d.IsDir() || !strings.HasSuffix(path, ".json") {
			return nil
		}
		raw, err := readBounded(path, verify.MaxBundle)
		if err != nil {
			return err
		}
		return s.add(path, raw, log)
	})
	if err == nil && s.count+s.elsewhere == 0 {
		err = usage(fmt.Errorf("there is no seal in %s", dir))
	}
	return s, err
}

func (s *sought) add(path string, raw []byte, log tlog.Log) error {
	b := &protobundle.Bundle{}
	if len(raw) > verify.MaxBundle {
		return reason.New(reason.BundleInvalid, "%s has more than %d bytes", path, verify.MaxBundle)
	}
	if err := protojson.Unmarshal(raw, b); err != nil {
		return reason.Wrap(reason.BundleInvalid, err, "%s is no Sigstore bundle in JSON", path)
	}
	entries := b.GetVerificationMaterial().GetTlogEntries()
	if len(entries) == 0 {
		return reason.New(reason.LogEntryInvalid, "%s has no entry of a transparency log", path)
	}
	here := false
	for _, e := range entries {
		if fmt.Sprintf("%x", e.GetLogId().GetKeyId()) != log.ID {
			continue
		}
		if e.GetLogIndex() < 0 || len(e.GetCanonicalizedBody()) == 0 {
			return reason.New(reason.LogEntryInvalid, "%s says not which entry it is", path)
		}
		here = true
		at := uint64(e.GetLogIndex())
		s.at[at] = append(s.at[at], soughtEntry{path, e.GetCanonicalizedBody()})
	}
	if !here {
		s.elsewhere++
		return nil
	}
	if s.count++; s.count > maxAudited {
		return usage(errors.New("there are more seals than are looked for at once: give a folder below"))
	}
	return nil
}

func logCopyCommand() *cobra.Command {
	o := &logOptions{}
	c := &cobra.Command{
		Use:   "copy URL FOLDER",
		Short: "Copy what a log publishes to a folder, and check it",
		Long: `Copy what a log publishes to a folder, up to its checkpoint, and check it as argoseal log
audit does. What is in the folder already is not fetched again, so that a copy can go on:
the log has to have everything that it had at the checkpoint there. If not, nothing there
is written over, and the log's new checkpoint is put beside it. Two that do not fit
together prove a fork; an older one may also come from a cache.

The log that the chart runs is read at port 8080 of its service:

  kubectl -n argoseal-system port-forward svc/argoseal-rekor 8080`,
		Example: `  argoseal log copy http://localhost:8080 copy`,
		Args:    usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.copy(cmd.Context(), args[0], args[1]); err != nil {
				return err
			}
			found, err := o.audit(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), printable(found))
			return err
		},
	}
	o.flags(c)
	return c
}

// copy fetches everything that the checkpoint covers, and the checkpoint last. So
// an interrupted copy has no checkpoint, or still the one before.
func (o *logOptions) copy(ctx context.Context, from, to string) error {
	web, err := tlog.NewWeb(from)
	if err != nil {
		return usage(err)
	}
	if err := os.MkdirAll(to, 0o750); err != nil {
		return usage(err)
	}
	folder, err := os.OpenRoot(to)
	if err != nil {
		return usage(err)
	}
	defer func() { _ = folder.Close() }()
	// This comes before the log is read, or one that grows meanwhile would look shorter.
	had, err := tlog.ReadCheckpoint(ctx, tlog.Folder{FS: folder.FS()})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usage(err)
	}
	log, checkpoint, err := o.checkpoint(ctx, web)
	if err != nil {
		return err
	}
	if had != nil {
		if err := extends(ctx, web, log, folder, had, checkpoint); err != nil {
			return err
		}
	}
	return tlog.Copy(ctx, web, checkpoint, to)
}

// extends refuses to write over a checkpoint that the log has signed before and does not
// hold to, and keeps the new one, too.
func extends(ctx context.Context, web tlog.Reader, log tlog.Log, folder *os.Root, had []byte, now *tlog.Checkpoint) error {
	before, err := log.Open(had)
	if err != nil {
		return usage(fmt.Errorf("the checkpoint in the folder is not of the log %s, which is read: give another folder: %w", log.URL, err))
	}
	err = tlog.Extends(ctx, web, before, now)
	if code := reason.Of(err); code != reason.LogRolledBack && code != reason.LogForked {
		return err
	}
	beside := fmt.Sprintf("checkpoint.%d-%x", now.Size, now.Root[:8])
	if failed := folder.WriteFile(beside, []byte(now.Text), 0o640); failed != nil {
		return errors.Join(err, usage(failed))
	}
	return reason.Wrap(reason.Of(err), err, "%v; both checkpoints are in the folder, as checkpoint and %s", err, beside)
}
