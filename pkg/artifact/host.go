package artifact

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// HostOf is the host of a URL or location's URI, without its port.
func HostOf(uri string) string {
	for _, k := range ordered {
		if k.Host != "" && strings.HasPrefix(uri, k.URIScheme+"://") {
			return k.Host
		}
	}
	if g, err := ParseGit(uri); err == nil {
		uri = g.long()
	}
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// AnsweredIn says why somebody who may make Services in a namespace can answer for
// a host name in its pods; empty if they cannot.
//
// A pod's resolver takes a name without a dot at its end, appends
// NAMESPACE.svc.ZONE, svc.ZONE and ZONE in turn, and takes the first name that
// exists. CoreDNS knows a Service as SERVICE.NAMESPACE.svc.ZONE. Before that there
// may be ENDPOINT, the hostname of a pod, or PORT.PROTOCOL; behind it
// ZONE.DIRECTIVE._zone, where it is told so. It denies everything longer
// (parseRequest in its plugin kubernetes). The number of dots from which the
// resolver tries the name itself first does not matter: a Service's name is found
// in either order, at the latest when the real name is gone.
func AnsweredIn(namespace, host string) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		if ip = ip.Unmap(); ip.IsLoopback() || ip.IsUnspecified() {
			return fmt.Sprintf("%s is the pod itself", host)
		}
		return ""
	}
	name, absolute := strings.CutSuffix(strings.ToLower(host), ".")
	labels := strings.Split(name, ".")
	last := len(labels) - 1
	for i := 1; i < last; i++ {
		if labels[i] == namespace && (labels[i+1] == "svc" || labels[i+1] == "pod") && serves(labels[:i]) {
			return fmt.Sprintf("%s is a name of namespace %s", host, namespace)
		}
	}
	switch {
	case labels[last] == "localhost":
		return fmt.Sprintf("%s is the pod itself", host)
	case absolute:
	case serves(labels):
		return fmt.Sprintf("the DNS search path makes %s.%s.svc of %s first", name, namespace, host)
	case labels[last] == namespace && serves(labels[:last]):
		return fmt.Sprintf("the DNS search path makes %s.svc of %s first", name, host)
	}
	return ""
}

// protocols are those of a Service's ports.
var protocols = []string{"tcp", "udp", "sctp"}

// serves says whether Services of a namespace can have these labels before its
// name.
func serves(labels []string) bool {
	switch n := len(labels); {
	case n < 3:
		return n > 0
	case n == 3:
		return slices.Contains(protocols, strings.TrimPrefix(labels[1], "_"))
	default:
		return labels[n-2] == "_zone"
	}
}
