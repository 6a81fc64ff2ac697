package apiserver_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/sentinel/apiserver"
)

const (
	started = "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1.7e+09\n"
	info    = "# TYPE apiserver_encryption_config_controller_last_config_info gauge\n" +
		"apiserver_encryption_config_controller_last_config_info{apiserver_id_hash=\"sha256:1\",hash=\"sha256:abc\"} 1\n"
	reloads = "# TYPE apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds gauge\n" +
		"apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds{apiserver_id_hash=\"sha256:1\",status=\"failure\"} 1.70000009e+09\n" +
		"apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds{apiserver_id_hash=\"sha256:1\",status=\"success\"} 1.70000006e+09\n"
)

func TestAsk(t *testing.T) {
	for what, c := range map[string]struct {
		metrics string
		status  int
		want    apiserver.Loaded
		says    string
	}{
		"since it started":                 {metrics: started + info, want: apiserver.Loaded{Hash: "sha256:abc", For: 100 * time.Second}},
		"since it loaded the file anew":    {metrics: started + info + reloads, want: apiserver.Loaded{Hash: "sha256:abc", For: 40 * time.Second}},
		"without encryption":               {metrics: started, says: "0 encryption configurations"},
		"more than one":                    {metrics: started + info + strings.ReplaceAll(strings.SplitAfter(info, "\n")[1], "abc", "def"), says: "2 encryption configurations"},
		"it does not say since when":       {metrics: info, says: "started"},
		"it refuses":                       {status: http.StatusForbidden, says: "403"},
		"something that is no metrics":     {metrics: "<html>", says: "metrics"},
		"a server that a balancer invents": {metrics: "", says: "0 encryption configurations"},
	} {
		t.Run(what, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Unix(1_700_000_100, 0).UTC().Format(http.TimeFormat))
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
