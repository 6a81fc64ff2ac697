// Package apiserver asks one API server which encryption file it runs with.
//
// It trusts what the server says of itself. It must be given the address of the
// very server: behind a load balancer, one server would speak for another.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// The metrics that are read. The first has a line for each configuration that
// is in use, which is one.
const (
	configInfo = "apiserver_encryption_config_controller_last_config_info"
	reloadedAt = "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds"
	startedAt  = "process_start_time_seconds"
)

// maxMetrics bounds what is read of a server's metrics; they are some 10 MB on
// a busy one.
const maxMetrics = 256 << 20

// Loaded is what a server runs with.
type Loaded struct {
	// Hash of the file's bytes: "sha256:…".
	Hash string
	// For is how long, by the server's own clock.
	For time.Duration
}

// Ask reads the metrics of the server at an address.
func Ask(ctx context.Context, client *http.Client, url string) (Loaded, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return Loaded{}, err
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4")
	resp, err := client.Do(req)
	if err != nil {
		return Loaded{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Loaded{}, fmt.Errorf("its metrics: %s", resp.Status)
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return Loaded{}, errors.New("its answer has no date")
	}
	return parse(io.LimitReader(resp.Body, maxMetrics), now)
}

func parse(metrics io.Reader, now time.Time) (Loaded, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(metrics)
	if err != nil {
		return Loaded{}, fmt.Errorf("its metrics: %w", err)
	}
	infos := families[configInfo].GetMetric()
	if len(infos) != 1 || label(infos[0], "hash") == "" {
		return Loaded{}, fmt.Errorf("it states %d encryption configurations, not one: was it started with --encryption-provider-config?", len(infos))
	}
	starts := families[startedAt].GetMetric()
	if len(starts) != 1 {
		return Loaded{}, errors.New("it does not state when it started")
	}
	since := starts[0].GetGauge().GetValue()
	for _, m := range families[reloadedAt].GetMetric() {
		if label(m, "status") == "success" {
			since = math.Max(since, m.GetGauge().GetValue())
		}
	}
	// The date has whole seconds, rounded down.
	return Loaded{Hash: label(infos[0], "hash"), For: max(0, now.Sub(time.Unix(int64(math.Ceil(since)), 0)))}, nil
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
