//go:build e2e

package suite

import (
	"context"
	"io/fs"
	"os"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/tlog"
)

// throughAPIServer reads the tiles of the chart's log as an operator may: by the API
// server's proxy.
type throughAPIServer struct{ set *kubernetes.Clientset }

func (r throughAPIServer) Read(ctx context.Context, path string, _ int64) ([]byte, error) {
	raw, err := r.set.CoreV1().RESTClient().Get().AbsPath("/api/v1/namespaces/argoseal-system/services/argoseal-rekor:tiles/proxy/api/v2/" + path).DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		return nil, fs.ErrNotExist
	}
	return raw, err
}

// TestTheLogIsWatched: the chart's own log is watched without being asked; its last
// checkpoint has what was sealed, within half a minute; and auditors can hash all of it.
func TestTheLogIsWatched(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "watched", v1alpha1.ModeEnforce)
	run := finish(t, ns, submit(t, ns, threeSteps))
	if run.Phase != "Succeeded" {
		t.Fatal(run)
	}
	s := stage(t)
	evidence, err := s.Lab.Save(t.Context(), sealOf(t, run, "app"), s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(evidence.TrustedRoot)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := tlog.Logs(root)
	if err != nil {
		t.Fatal(err)
	}
	set, err := kubernetes.NewForConfig(s.Lab.Config)
	if err != nil {
		t.Fatal(err)
	}
	tiles := throughAPIServer{set}
	var raw []byte
	logging.RLock()
	defer logging.RUnlock()
	await(t, "the log's checkpoint", func(ctx context.Context) (bool, error) {
		raw, err = tlog.ReadCheckpoint(ctx, tiles)
		return err == nil, nil // else it is asked again: the API server's proxy has its own moments
	})
	log, sealed, err := tlog.OpenAny(logs, raw)
	if err != nil {
		t.Fatal(err)
	}
	var kept v1alpha1.TransparencyLog
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		err := s.Lab.Client.Get(t.Context(), client.ObjectKey{Name: log.ID}, &kept)
		if err == nil && uint64(kept.Status.Size) >= sealed.Size && meta.IsStatusConditionTrue(kept.Status.Conditions, v1alpha1.ConditionConsistent) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v, kept is %+v, and there are %d entries", err, kept.Status, sealed.Size)
		}
	}
	last, err := log.Open([]byte(kept.Status.Checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.Audit(t.Context(), tiles, last, func(uint64, []byte) error { return nil }); err != nil {
		t.Error(err)
	}
}
