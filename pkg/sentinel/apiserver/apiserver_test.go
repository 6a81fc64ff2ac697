package apiserver_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/sentinel/apiserver"
)

const (
	info = "# TYPE apiserver_encryption_config_controller_last_config_info gauge\n" +
		"apiserver_encryption_config_controller_last_config_info{apiserver_id_hash=\"sha256:1\",hash=\"sha256:abc\"} 1\n"
	reloads = "# TYPE apiserver_encryption_config_controller_automatic_reloads_total counter\n" +
		"apiserver_encryption_config_controller_automatic_reloads_total{apiserver_id_hash=\"sha256:1\",status=\"failure\"} 3\n" +
		"apiserver_encryption_config_controller_automatic_reloads_total{apiserver_id_hash=\"sha256:1\",status=\"success\"} 7\n"
)

func TestAsk(t *testing.T) {
	for what, c := range map[string]struct {
		metrics string
		status  int
		want    apiserver.Loaded
		says    string
	}{
		"as it started":                     {metrics: info, want: apiserver.Loaded{ID: "sha256:1", Hash: "sha256:abc"}},
		"with files that it could not load": {metrics: info + reloads, want: apiserver.Loaded{ID: "sha256:1", Hash: "sha256:abc", Failures: 3}},
		"without an identity":               {metrics: strings.ReplaceAll(info, "sha256:1", ""), want: apiserver.Loaded{Hash: "sha256:abc"}},
		"without encryption":                {metrics: reloads, says: "0 encryption configurations"},
		"more than one":                     {metrics: info + strings.ReplaceAll(strings.SplitAfter(info, "\n")[1], "abc", "def"), says: "2 encryption configurations"},
		"it refuses":                        {status: http.StatusForbidden, says: "403"},
		"something that is no metrics":      {metrics: "<html>", says: "metrics"},
		"a server that a balancer invents":  {metrics: "", says: "0 encryption configurations"},
	} {
		t.Run(what, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if c.status != 0 {
					w.WriteHeader(c.status)
				}
				fmt.Fprint(w, c.metrics)
			}))
			defer server.Close()
			got, err := apiserver.Ask(t.Context(), server.Client(), server.URL)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
