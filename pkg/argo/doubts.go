package argo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
)

// Doubt is a reason why a name may lead Argo's init to another server than the one
// that a policy's author had in mind. It matters where nobody pins the content.
type Doubt struct {
	Of  v1alpha1.Doubt
	Why string
}

// doubt notes the doubts about each Pinned input that has no Problem.
func (s *Step) doubt(pod *corev1.Pod, specs []artifactSpec) {
	about, certs := doubtsOfPod(pod), certsOf(pod)
	for i := range s.Inputs {
		in := &s.Inputs[i]
		if !in.Pinned() || in.problem != nil {
			continue
		}
		own, unproven := s.template.doubts(specs[i])
		in.supply.doubts = slices.Concat(about, own)
		// With ssh the host's key proves it. An address without TLS gives another
		// doubt.
		if certs != "" && !unproven && !strings.HasPrefix(in.URI(), "git+ssh:") {
			in.supply.doubts = append(in.supply.doubts, Doubt{v1alpha1.DoubtCASecret, certs})
			unproven = in.Source != SourceStore || in.Location().Scheme.Kind().Host == "" // no namespace can answer for a cloud's name
		}
		if !unproven {
			continue
		}
		// A server that has to prove its name gains nothing by answering for
		// another's.
		if why := artifact.AnsweredIn(s.Namespace, artifact.HostOf(in.URI())); why != "" {
			in.supply.doubts = append(in.supply.doubts, Doubt{v1alpha1.DoubtNamespaceNames, why + ", and the server need not prove its name"})
		}
	}
}

// doubtsOfPod lists what in the pod changes what names mean to Argo's init.
func doubtsOfPod(pod *corev1.Pod) []Doubt {
	var d []Doubt
	add := func(of v1alpha1.Doubt, format string, args ...any) {
		d = append(d, Doubt{of, fmt.Sprintf(format, args...)})
	}
	spec := pod.Spec
	if len(spec.HostAliases) > 0 {
		add(v1alpha1.DoubtHostAliases, "hostAliases is set")
	}
	// The kubelet writes it into /etc/hosts, and unlike hostname it may have dots.
	if spec.HostnameOverride != nil {
		add(v1alpha1.DoubtHostAliases, "hostnameOverride is set")
	}
	switch spec.DNSPolicy {
	case "", corev1.DNSClusterFirst, corev1.DNSClusterFirstWithHostNet:
	default:
		add(v1alpha1.DoubtDNS, "dnsPolicy is %s", spec.DNSPolicy)
	}
	// Options of the resolver choose no server and add no name.
	if c := spec.DNSConfig; c != nil && len(c.Nameservers)+len(c.Searches) > 0 {
		add(v1alpha1.DoubtDNS, "dnsConfig has nameservers or searches")
	}
	if spec.HostNetwork {
		add(v1alpha1.DoubtHostNetwork, "hostNetwork is set")
	}
	for _, c := range spec.InitContainers {
		if c.Name == layout.ContainerInit {
			break
		}
		if c.Name != SignerContainer && c.Name != PrepareContainer {
			add(v1alpha1.DoubtEarlierContainers, "container %.63s comes before Argo's %s", c.Name, layout.ContainerInit)
			break
		}
	}
	return d
}

// certPaths are where Go looks for certificates (crypto/x509, root_linux.go).
var certPaths = []string{"/etc/ssl/certs", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem", "/etc/pki"}

// certsOf says what in the pod changes which certificates Argo's init trusts. The
// operator may list such variables and mounts (Additions). But what a volume of a
// listed name holds is up to the step.
func certsOf(pod *corev1.Pod) string {
	init := findContainer(pod.Spec.InitContainers, layout.ContainerInit)
	if init == nil {
		return ""
	}
	for _, v := range init.Env {
		if strings.HasPrefix(v.Name, certVariables) {
			return fmt.Sprintf("%s has the variable %.40s", init.Name, v.Name)
		}
	}
	for _, m := range init.VolumeMounts {
		if slices.ContainsFunc(certPaths, func(p string) bool { return overlap(p, m.MountPath) }) {
			return fmt.Sprintf("%s has a mount at %.80s", init.Name, m.MountPath)
		}
	}
	return ""
}

// doubts are those about one input's own place, and whether the server need not
// prove its name there.
func (t *template) doubts(a artifactSpec) (d []Doubt, unproven bool) {
	switch {
	case a.HTTP != nil:
		if why := selecting(a.HTTP.Headers); why != "" {
			d = append(d, Doubt{v1alpha1.DoubtHeaders, why})
		}
		return d, strings.HasPrefix(a.HTTP.URL, "http:")
	case a.Git != nil:
		if a.Git.InsecureIgnoreHostKey {
			d = append(d, Doubt{v1alpha1.DoubtUnknownHostKey, "insecureIgnoreHostKey is true"})
		}
		return d, strings.HasPrefix(a.Git.Repo, "http:") || a.Git.InsecureIgnoreHostKey
	}
	own := a.stored()
	if own == nil {
		return []Doubt{{v1alpha1.DoubtPlainHTTP, "its store is not known"}}, true
	}
	at, problem := t.place(own)
	if problem != nil {
		return []Doubt{{v1alpha1.DoubtPlainHTTP, "its store is not known"}}, true
	}
	return doubtsAbout(at.Uncertain())
}

// doubtsAbout are the doubts about a place in a store, and whether the server need not prove its
// name.
func doubtsAbout(u artifact.Uncertain) (d []Doubt, unproven bool) {
	for _, one := range []Doubt{{v1alpha1.DoubtPlainHTTP, u.PlainHTTP}, {v1alpha1.DoubtCASecret, u.CASecret}, {v1alpha1.DoubtRegion, u.Region}} {
		if one.Why != "" {
			d = append(d, one)
		}
	}
	return d, u.PlainHTTP != "" || u.CASecret != ""
}

// harmless are the headers that say who asks, and in which form.
var harmless = []string{"accept", "authorization", "user-agent"}

// selecting says which header could make a server give something else than what it
// has at the URL.
func selecting(raw json.RawMessage) string {
	var headers []struct {
		Name string `json:"name"`
	}
	if len(raw) == 0 {
		return ""
	}
	if err := json.Unmarshal(raw, &headers); err != nil {
		return "its headers could not be read"
	}
	for _, h := range headers {
		if !slices.Contains(harmless, strings.ToLower(h.Name)) {
			return fmt.Sprintf("it has the header %.40q", h.Name)
		}
	}
	return ""
}
