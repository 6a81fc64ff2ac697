package apiserver_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
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

const ids = "# TYPE apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds gauge\n" +
	"apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds{apiserver_id_hash=\"sha256:1\",key_id_hash=\"sha256:old\",provider_name=\"a\"} 1.7e+09\n" +
	"apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds{apiserver_id_hash=\"sha256:1\",key_id_hash=\"sha256:new\",provider_name=\"a\"} 1.7000001e+09\n" +
	"apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds{apiserver_id_hash=\"sha256:1\",key_id_hash=\"sha256:older\",provider_name=\"a\"} 1.6e+09\n" +
	"apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds{apiserver_id_hash=\"sha256:1\",key_id_hash=\"sha256:other\",provider_name=\"b\"} 1.5e+09\n" +
	"apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds{apiserver_id_hash=\"sha256:1\",key_id_hash=\"\",provider_name=\"b\"} 1.8e+09\n"

func TestAsk(t *testing.T) {
	for what, c := range map[string]struct {
		metrics string
		status  int
		want    apiserver.Loaded
		says    string
	}{
		"as it started":                     {metrics: info, want: apiserver.Loaded{ID: "sha256:1", Hash: "sha256:abc"}},
		"with files that it could not load": {metrics: info + reloads, want: apiserver.Loaded{ID: "sha256:1", Hash: "sha256:abc", Failures: 3}},
		"with plugins, each of which named a key last": {
			metrics: info + ids, want: apiserver.Loaded{ID: "sha256:1", Hash: "sha256:abc", KeyIDs: map[string]string{"a": "sha256:new", "b": "sha256:other"}},
		},
		"without an identity":              {metrics: strings.ReplaceAll(info, "sha256:1", ""), want: apiserver.Loaded{Hash: "sha256:abc"}},
		"without encryption":               {metrics: reloads, says: "0 encryption configurations"},
		"more than one":                    {metrics: info + strings.ReplaceAll(strings.SplitAfter(info, "\n")[1], "abc", "def"), says: "2 encryption configurations"},
		"it refuses":                       {status: http.StatusForbidden, says: "403"},
		"something that is no metrics":     {metrics: "<html>", says: "metrics"},
		"a server that a balancer invents": {metrics: "", says: "0 encryption configurations"},
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
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// A plugin counts as healthy only where the server says so; what it says is not told.
func TestPlugins(t *testing.T) {
	for status, says := range map[int]string{
		http.StatusOK: "", http.StatusInternalServerError: "cannot use a KMS plugin", http.StatusForbidden: "not known", http.StatusNotFound: "not known",
		http.StatusFound: "not known", http.StatusNoContent: "not known",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/healthz/kms-providers" {
				t.Errorf("it asks %s", r.URL.Path)
			}
			w.WriteHeader(status)
			fmt.Fprint(w, "hush")
		}))
		err := apiserver.Plugins(t.Context(), server.Client(), server.URL)
		server.Close()
		if (err == nil) != (says == "") || err != nil && (!strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%d gives %v", status, err)
		}
		if err := apiserver.Plugins(t.Context(), server.Client(), server.URL); err == nil {
			t.Error("a server that is not there has plugins")
		}
	}
}
