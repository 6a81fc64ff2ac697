// Package apiserver asks one API server which encryption file it runs with.
//
// It trusts what the server says of itself. It must be given the address of the
// very server: behind a load balancer, one server would speak for another. The ID
// that a server gives tells two names of one server from two servers, and an address
// behind which there are several, which another answers the next time. The cluster's own
// list of API servers tells whether one was left out.
package apiserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// The metrics that are read. The first has a line for each configuration that
// is in use, which is one; the last one for each key that a KMS plugin has named.
const (
	configInfo = "apiserver_encryption_config_controller_last_config_info"
	reloads    = "apiserver_encryption_config_controller_automatic_reloads_total"
	keyIDs     = "apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds"
)

// maxMetrics bounds what is read of a server's metrics; they are some 10 MB on
// a busy one.
const maxMetrics = 256 << 20

// Loaded is what a server runs with. It has no time: servers' clocks are not ours.
type Loaded struct {
	// ID is a hash of what the server is, which no two share: its host's name is in it.
	// It is empty where the server has none.
	ID string
	// Hash of the file's bytes: "sha256:…".
	Hash string
	// Failures is how often it could not load a file, since it started.
	Failures float64
	// KeyIDs are, by the name of each KMS plugin, the hash of the ID of the key that it named
	// last: "sha256:…". That the server writes with this key is only so while its plugins
	// are healthy; see [Plugins].
	KeyIDs map[string]string
}

// Ask reads the metrics of the server at an address.
func Ask(ctx context.Context, client *http.Client, url string) (Loaded, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return Loaded{}, err
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4")
	// A connection that stays open would hide that a load balancer is behind the address.
	req.Close = true
	resp, err := client.Do(req)
	if err != nil {
		return Loaded{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Loaded{}, fmt.Errorf("its metrics: %s", resp.Status)
	}
	return parse(io.LimitReader(resp.Body, maxMetrics))
}

// ErrPlugins says that a server cannot use its KMS plugins.
var ErrPlugins = errors.New("it cannot use a KMS plugin (/healthz/kms-providers): the plugin's log, and the server's, say why")

// Plugins asks the server at an address whether it can use the KMS plugins of the file
// that it runs with. If it can, each has answered within the last 20 s, and has encrypted
// with the key that it named last. Ask after the key: one that is named meanwhile and
// cannot be used is no error otherwise. What it answers is not told: a plugin wrote it.
func Plugins(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/healthz/kms-providers", nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusInternalServerError:
		return ErrPlugins
	}
	return fmt.Errorf("whether it can use its KMS plugins is not known (/healthz/kms-providers): %s", resp.Status)
}

// isAPIServer selects the leases by which API servers say that they are there.
const isAPIServer = "apiserver.kubernetes.io/identity=kube-apiserver"

// Registered are the names of all API servers of a cluster, by ID. Each keeps a lease that
// has its name, puts it back within seconds, and the others take it away an hour after
// the last time that it did.
func Registered(ctx context.Context, client coordination.LeasesGetter) (map[string]string, error) {
	list, err := client.Leases(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: isAPIServer})
	if err != nil {
		return nil, fmt.Errorf("list the leases of API servers: %w", err)
	}
	names := map[string]string{}
	for i := range list.Items {
		name := list.Items[i].Name
		names[fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name)))] = name
	}
	return names, nil
}

func parse(metrics io.Reader) (Loaded, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(metrics)
	if err != nil {
		return Loaded{}, fmt.Errorf("its metrics: %w", err)
	}
	infos := families[configInfo].GetMetric()
	if len(infos) != 1 || label(infos[0], "hash") == "" {
		return Loaded{}, fmt.Errorf("it states %d encryption configurations, not one: was it started with --encryption-provider-config?", len(infos))
	}
	loaded := Loaded{ID: label(infos[0], "apiserver_id_hash"), Hash: label(infos[0], "hash")}
	for _, m := range families[reloads].GetMetric() {
		if label(m, "status") == "failure" {
			loaded.Failures += m.GetCounter().GetValue()
		}
	}
	loaded.KeyIDs = lastKeyIDs(families[keyIDs].GetMetric())
	return loaded, nil
}

// lastKeyIDs has the key that each plugin named last. The times are all of one server's clock.
func lastKeyIDs(metrics []*dto.Metric) map[string]string {
	var ids map[string]string
	last := map[string]float64{}
	for _, m := range metrics {
		plugin, id, at := label(m, "provider_name"), label(m, "key_id_hash"), m.GetGauge().GetValue()
		if id == "" || at <= last[plugin] {
			continue
		}
		if ids == nil {
			ids = map[string]string{}
		}
		ids[plugin], last[plugin] = id, at
	}
	return ids
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
