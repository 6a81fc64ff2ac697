//go:build e2e

package suite

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// TestAttackPlaceUncertain: a place that a policy admits with any content is only a
// name. A tenant's Workflow that makes the name lead to a server of his own is
// refused, unless the policy says itself that this may be.
func TestAttackPlaceUncertain(t *testing.T) {
	t.Parallel()
	owner := namespace(t, "files", plain)
	exposed(t, owner, "files", serving(t, "true"), corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
	name := "files." + owner + ".svc"

	// The tenant's: a server behind a Service of his, and one that answers to
	// files.corp, which a policy's author may take for a server of the company's.
	forged := serving(t, "forged")
	port := forged.Addr().(*net.TCPAddr).Port
	arrange := func(t *testing.T, name string, mode v1alpha1.Mode, rules string) (ns, address string) {
		ns = namespace(t, name, mode)
		govern(t, ns, rules, "")
		address = exposed(t, ns, "mine", forged, corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
		exposed(t, ns, "corp", forged, corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}})
		return ns, address
	}
	few := fmt.Sprintf("files.corp:%d", port)
	allow := func(host, more string) string {
		return fmt.Sprintf(`allow: {http: [{url: "http://%s/*", anyContent: true%s}]}`, host, more)
	}
	for what, c := range map[string]struct {
		mode    v1alpha1.Mode
		rules   string
		host    string
		aliased bool
		word    string
		code    reason.Code
	}{
		"the place itself":                    {v1alpha1.ModeEnforce, allow(name, ""), name, false, "true", ""},
		"hostAliases":                         {v1alpha1.ModeEnforce, allow(name, ""), name, true, "forged", reason.PlaceUncertain},
		"hostAliases that a policy tolerates": {v1alpha1.ModeEnforce, allow(name, ", tolerate: [HostAliases]"), name, true, "forged", ""},
		"hostAliases without the defence":     {plain, "", name, true, "forged", ""},
		"few dots":                            {v1alpha1.ModeEnforce, allow(few, ""), few, false, "forged", reason.PlaceUncertain},
		"few dots that a policy tolerates":    {v1alpha1.ModeEnforce, allow(few, ", tolerate: [NamespaceNames]"), few, false, "forged", ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			ns, address := arrange(t, slug("store", what), c.mode, c.rules)
			text := taking(slug("store", what), taken{fmt.Sprintf(`http: {url: "http://%s/list"}`, c.host), c.word})
			if c.aliased {
				text = strings.Replace(text, "spec:\n", fmt.Sprintf("spec:\n  hostAliases: [{ip: %q, hostnames: [%q]}]\n", address, name), 1)
			}
			run := finish(t, ns, submit(t, ns, text))
			if c.mode == plain {
				judged(t, run, c.code)
			} else {
				ruled(t, run, c.code)
			}
		})
	}
}

// serving serves a word, where pods reach it, until the test ends.
func serving(t *testing.T, word string) net.Listener {
	t.Helper()
	l := listen(t)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, word) })}
	t.Cleanup(func() { server.Close() })
	go server.Serve(l)
	return l
}

// exposed puts a Service in front of a server, whose only endpoint is called files,
// and gives its address.
func exposed(t *testing.T, ns, name string, l net.Listener, service corev1.Service) string {
	t.Helper()
	service.ObjectMeta = metav1.ObjectMeta{Namespace: ns, Name: name}
	create(t, &service)
	number, hostname := int32(l.Addr().(*net.TCPAddr).Port), "files"
	create(t, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{layout.NodeIP}, Hostname: &hostname}},
		Ports:       []discoveryv1.EndpointPort{{Port: &number}},
	})
	return service.Spec.ClusterIP
}
