package policy

import (
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
)

// TrustedNamespaces are the namespaces whose seals may count in other workflows:
// those of the given ones, and others that policies name. A policy that cannot be
// read counts for every namespace. It refuses everything now, but once it is mended
// it may trust any of them.
func TrustedNamespaces(policies []v1alpha1.ClusterProvenancePolicy, namespaces []string) map[string]bool {
	trusted := map[string]bool{}
	for _, p := range policies {
		if p.Spec.Allow == nil {
			continue
		}
		for _, by := range p.Spec.Allow.Producers {
			for _, name := range by.Namespaces {
				trusted[name] = true
			}
			if !by.SameNamespace {
				continue
			}
			for _, name := range namespaces {
				if here, err := selects(p.Spec.Namespaces, name); here || err != nil {
					trusted[name] = true
				}
			}
		}
	}
	return trusted
}

// Manifest says whether policies may admit images by seals of that output, made in
// that namespace. If a policy accepts seals of the pod's own namespace, that is any
// namespace.
func Manifest(policies []v1alpha1.ClusterProvenancePolicy, namespace, output string) bool {
	for _, p := range policies {
		for _, rule := range p.Spec.Images {
			for _, by := range rule.Producers {
				if by.Output == output && (by.SameNamespace || slices.Contains(by.Namespaces, namespace)) {
					return true
				}
			}
		}
	}
	return false
}

// AnyContent gives what says whether one of the policies admits whatever lies at a place of a
// store, as an object or as a directory. A policy that cannot be read may, once it is mended.
func AnyContent(policies []v1alpha1.ClusterProvenancePolicy) func(artifact.Location) bool {
	var unpinned []externalRule
	unread := false
	for i := range policies {
		p, err := readCluster(&policies[i])
		unread = unread || err != nil
		if p.allow == nil {
			continue
		}
		for _, r := range p.allow.external {
			if r.tree == "" && r.attested == nil && !r.git {
				unpinned = append(unpinned, r)
			}
		}
	}
	return func(l artifact.Location) bool {
		directory := l.Prefix().URI()
		object := strings.TrimSuffix(directory, "/")
		return unread || slices.ContainsFunc(unpinned, func(r externalRule) bool {
			return r.glob.MatchString(object) || r.glob.MatchString(directory)
		})
	}
}
