package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
)

// Warnings lists what a valid policy leaves to others: entries that admit any
// content from a server that does not have to prove its name.
func Warnings(rules v1alpha1.PolicyRules) []string {
	if rules.Allow == nil {
		return nil
	}
	var w []string
	for i, in := range rules.Allow.S3 {
		unproven := slices.Contains(in.Tolerate, v1alpha1.DoubtPlainHTTP) || slices.Contains(in.Tolerate, v1alpha1.DoubtCASecret)
		if in.AnyContent && unproven {
			w = append(w, warn(fmt.Sprintf("allow.s3[%d]", i), in.Location, in.Tolerate))
		}
	}
	for i, in := range rules.Allow.Azure {
		if in.AnyContent && slices.Contains(in.Tolerate, v1alpha1.DoubtPlainHTTP) {
			w = append(w, warn(fmt.Sprintf("allow.azure[%d]", i), in.Location, in.Tolerate))
		}
	}
	for i, in := range rules.Allow.HTTP {
		if in.AnyContent && strings.HasPrefix(in.URL, "http:") {
			w = append(w, warn(fmt.Sprintf("allow.http[%d]", i), in.URL, in.Tolerate))
		}
	}
	for i, in := range rules.Allow.Git {
		named := len(in.Branches)+len(in.Tags) > 0 || in.DefaultBranch
		if named && strings.HasPrefix(in.Repository, "http:") || slices.Contains(in.Tolerate, v1alpha1.DoubtUnknownHostKey) {
			w = append(w, warn(fmt.Sprintf("allow.git[%d]", i), in.Repository, in.Tolerate))
		}
	}
	return w
}

// OwnWarnings lists what of a namespace's valid policy may admit nothing: see Set.narrow.
func OwnWarnings(p *v1alpha1.ProvenancePolicy) []string {
	var w []string
	for i, rule := range p.Spec.Images {
		for j, by := range rule.Producers {
			others := slices.DeleteFunc(slices.Clone(by.Namespaces), func(n string) bool { return n == p.Namespace })
			if len(others) > 0 {
				w = append(w, fmt.Sprintf("images[%d].producers[%d]: namespaces %s count only where a %s that applies names them as producers of images, too",
					i, j, strings.Join(others, ", "), kindCluster))
			}
		}
	}
	return w
}

// nobody is no namespace's name. If Services of nobody could answer for a host
// name, Services of every namespace can.
const nobody = "-"

func warn(entry, pattern string, tolerated []v1alpha1.Doubt) string {
	host := artifact.HostOf(pattern)
	text := fmt.Sprintf("%s: %s does not have to prove its name, so whoever is on the way decides what comes", entry, host)
	last := host[strings.LastIndexByte(host, '.')+1:]
	switch why := artifact.AnsweredIn(nobody, host); {
	case why != "" && slices.Contains(tolerated, v1alpha1.DoubtNamespaceNames):
		text += "; Services of the step's namespace can answer for it"
	case why != "":
		text += "; Services of the step's namespace can answer for it, so it is refused (" + string(v1alpha1.DoubtNamespaceNames) + ")"
	case artifact.AnsweredIn(last, host) != "":
		text += "; so can Services of a namespace called " + last
	}
	return text
}
