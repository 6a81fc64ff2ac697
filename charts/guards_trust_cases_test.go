//go:build e2e

package charts_test

import "github.com/argoseal/argoseal/pkg/reason"

// execCases: NS has the pods tagged and untagged. Their containers are main and
// init; what is refused for a container's name is refused before it is looked for.
var execCases = map[string]attempt{
	"a tenant may run commands in a pod that is no step": {as: tenant, verb: "connect", on: pods, name: "untagged", sub: "exec", body: "main sh"},
	"a tenant may attach to one":                         {as: tenant, verb: "connect", on: pods, name: "untagged", sub: "attach", body: "main"},
	"a tenant may leave its container out":               {as: tenant, verb: "connect", on: pods, name: "untagged", sub: "exec", body: " sh"},
	"nobody is asked where there is no mode":             {as: clusterAdmin, verb: "connect", on: pods, in: "default", name: "any", sub: "exec", body: "wait sh"},
	"Argo may end main":                                  {as: argo, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "main /bin/sh -c kill_-15_1"},
	"Argo may kill main":                                 {as: argo, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "main /bin/sh -c kill_-9_1"},
	"Argo may end wait":                                  {as: argo, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "wait /bin/argoexec kill 15 1"},
	"who has the verb may run commands in main":          {as: debugger, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "main sh"},
	"a cluster admin may":                                {as: clusterAdmin, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "main sh"},

	"a tenant may not run commands in a step":            {as: tenant, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "main sh", refused: reason.ExecGuarded},
	"nor without a container's name":                     {as: tenant, verb: "connect", on: pods, name: "tagged", sub: "exec", body: " sh", refused: reason.ExecGuarded},
	"nor attach to one":                                  {as: tenant, verb: "connect", on: pods, name: "tagged", sub: "attach", body: "main", refused: reason.ExecGuarded},
	"nor as Argo does":                                   {as: tenant, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "main /bin/sh -c kill_-15_1", refused: reason.ExecGuarded},
	"Argo may run nothing else in main":                  {as: argo, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "main /bin/sh -c kill_-15_1;id", refused: reason.ExecGuarded},
	"Argo may run nothing else in wait":                  {as: argo, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "wait /bin/argoexec wait", refused: reason.ExecGuarded},
	"nor what main can rewrite":                          {as: argo, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "wait /var/run/argo/argoexec kill 15 1", refused: reason.ExecGuarded},
	"nor attach to it":                                   {as: user{argo.name, []string{"system:masters"}}, verb: "connect", on: pods, name: "tagged", sub: "attach", body: "wait", refused: reason.ExecGuarded},
	"nor run anything in the signer":                     {as: argo, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "argoseal-signer /bin/argoexec kill 15 1", refused: reason.ExecGuarded},
	"a cluster admin may not run commands in the signer": {as: clusterAdmin, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "argoseal-signer sh", refused: reason.ExecGuarded},
	"nor attach to it, a cluster admin":                  {as: clusterAdmin, verb: "connect", on: pods, name: "tagged", sub: "attach", body: "argoseal-signer", refused: reason.ExecGuarded},
	"nor in argoseal-verify":                             {as: clusterAdmin, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "argoseal-verify sh", refused: reason.ExecGuarded},
	"nor in wait":                                        {as: clusterAdmin, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "wait sh", refused: reason.ExecGuarded},
	"nor in wait as Argo does":                           {as: clusterAdmin, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "wait /bin/argoexec kill 15 1", refused: reason.ExecGuarded},
	"nor in init":                                        {as: debugger, verb: "connect", on: pods, name: "tagged", sub: "exec", body: "init sh", refused: reason.ExecGuarded},
	"nor in wait of a pod that is no step, by its name":  {as: tenant, verb: "connect", on: pods, name: "untagged", sub: "exec", body: "wait sh", refused: reason.ExecGuarded},
	"a step that runs may be evicted":                    {as: tenant, verb: "create", on: pods, name: "tagged", sub: "eviction", body: evict("tagged")},
	"a pod that is no step may be evicted":               {as: tenant, verb: "create", on: pods, name: "untagged", sub: "eviction", body: evict("untagged")},
}

func evict(pod string) string {
	return `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"` + pod + `","namespace":"NS"}}`
}

// replace is a change to the first webhook of a configuration.
func replace(path, value string) string {
	return `[{"op":"add","path":"/webhooks/0/` + path + `","value":` + value + `}]`
}

const (
	bundle = `"Z3VhcmRz"`
	// otherConfiguration calls a webhook that is none of ours.
	otherConfiguration = `{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","metadata":{"name":"NS"},"webhooks":[` + otherWebhook + `]}`
	ourConfiguration   = `{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","metadata":{"name":"argoseal"},"webhooks":[` + otherWebhook + `]}`
	otherWebhook       = `{"name":"x.example.org","clientConfig":{"url":"https://x.example.org"},"admissionReviewVersions":["v1"],"sideEffects":"None"}`
)

// configurationCases: without its configurations Argoseal is not asked.
var configurationCases = map[string]attempt{
	"the webhook may renew its certificate": {as: webhook, verb: "jsonpatch", on: validating, name: "argoseal", body: replace("clientConfig/caBundle", bundle)},
	"in both":                               {as: webhook, verb: "jsonpatch", on: mutating, name: "argoseal", body: replace("clientConfig/caBundle", bundle)},
	"and the path":                          {as: webhook, verb: "jsonpatch", on: mutating, name: "argoseal", body: replace("clientConfig/service/path", `"/x"`)},
	"a cluster admin may upgrade":           {as: clusterAdmin, verb: "jsonpatch", on: validating, name: "argoseal", body: replace("timeoutSeconds", "9")},
	"and remove":                            {as: clusterAdmin, verb: "delete", on: validating, name: "argoseal"},
	"and install":                           {as: clusterAdmin, verb: "create", on: mutating, body: `{"apiVersion":"admissionregistration.k8s.io/v1","kind":"MutatingWebhookConfiguration","metadata":{"name":"argoseal-2"}}`},
	"an operator may":                       {as: operator, verb: "jsonpatch", on: mutating, name: "argoseal", body: replace("timeoutSeconds", "9")},
	"anybody may label one":                 {as: platform, on: validating, name: "argoseal", body: metadata(`"labels":{"x":"y"}`)},
	"another's is another's":                {as: platform, verb: "create", on: validating, body: otherConfiguration},

	"the webhook may not be another":            {as: webhook, verb: "jsonpatch", on: validating, name: "argoseal", body: replace("clientConfig", `{"url":"https://x.example.org"}`), refused: reason.ConfigurationGuarded},
	"nor another service":                       {as: webhook, verb: "jsonpatch", on: validating, name: "argoseal", body: replace("clientConfig/service/name", `"x"`), refused: reason.ConfigurationGuarded},
	"nor another port":                          {as: webhook, verb: "jsonpatch", on: validating, name: "argoseal", body: replace("clientConfig/service/port", "1"), refused: reason.ConfigurationGuarded},
	"nor open the gate":                         {as: webhook, verb: "jsonpatch", on: validating, name: "argoseal", body: replace("failurePolicy", `"Ignore"`), refused: reason.ConfigurationGuarded},
	"nor leave pods out":                        {as: webhook, verb: "jsonpatch", on: validating, name: "argoseal", body: replace("objectSelector", `{"matchLabels":{"x":"y"}}`), refused: reason.ConfigurationGuarded},
	"nor namespaces":                            {as: webhook, verb: "jsonpatch", on: mutating, name: "argoseal", body: replace("namespaceSelector", `{"matchLabels":{"x":"y"}}`), refused: reason.ConfigurationGuarded},
	"nor requests":                              {as: webhook, verb: "jsonpatch", on: mutating, name: "argoseal", body: replace("matchConditions", `[{"name":"x","expression":"false"}]`), refused: reason.ConfigurationGuarded},
	"nor rules":                                 {as: webhook, verb: "jsonpatch", on: mutating, name: "argoseal", body: replace("rules/0/operations", `["DELETE"]`), refused: reason.ConfigurationGuarded},
	"nor remove one":                            {as: webhook, verb: "jsonpatch", on: validating, name: "argoseal", body: `[{"op":"remove","path":"/webhooks/1"}]`, refused: reason.ConfigurationGuarded},
	"nor add one":                               {as: webhook, verb: "jsonpatch", on: validating, name: "argoseal", body: `[{"op":"add","path":"/webhooks/-","value":` + otherWebhook + `}]`, refused: reason.ConfigurationGuarded},
	"who may write them may not":                {as: platform, verb: "jsonpatch", on: validating, name: "argoseal", body: replace("failurePolicy", `"Ignore"`), refused: reason.ConfigurationGuarded},
	"nor write the certificate":                 {as: platform, verb: "jsonpatch", on: validating, name: "argoseal", body: replace("clientConfig/caBundle", bundle), refused: reason.ConfigurationGuarded},
	"nor the path":                              {as: platform, verb: "jsonpatch", on: validating, name: "argoseal", body: replace("clientConfig/service/path", `"/x"`), refused: reason.ConfigurationGuarded},
	"nor delete them":                           {as: platform, verb: "delete", on: validating, name: "argoseal", refused: reason.ConfigurationGuarded},
	"nor all there are":                         {as: platform, verb: "deletecollection", on: mutating, refused: reason.ConfigurationGuarded},
	"nor have them collected":                   {as: platform, on: validating, name: "argoseal", refused: reason.ConfigurationGuarded, body: metadata(`"ownerReferences":[{"apiVersion":"v1","kind":"Namespace","name":"gone","uid":"7d1ab1ce-0000-4000-8000-000000000000"}]`)},
	"nor make one where ours is gone":           {as: platform, verb: "create", on: validating, body: ourConfiguration, refused: reason.ConfigurationGuarded},
	"the garbage collector has nothing to take": {as: collector, verb: "delete", on: validating, name: "argoseal", refused: reason.ConfigurationGuarded},
}

const revocations = "revocations.argoseal.dev"

// pruned takes a field out of what a definition knows.
const (
	schemaOfSpec = `/spec/versions/0/schema/openAPIV3Schema/properties/spec/`
	pruned       = `[{"op":"remove","path":"` + schemaOfSpec + `x-kubernetes-validations"},{"op":"remove","path":"` + schemaOfSpec + `properties/digests"}]`
)

// definitionCases: with the definition of a kind go its objects, or parts of them.
var definitionCases = map[string]attempt{
	"a cluster admin may upgrade":      {as: clusterAdmin, verb: "jsonpatch", on: definitions, name: revocations, body: pruned},
	"and remove":                       {as: clusterAdmin, verb: "delete", on: definitions, name: revocations},
	"anybody may label one":            {as: platform, on: definitions, name: revocations, body: metadata(`"labels":{"x":"y"}`)},
	"another's is another's":           {as: platform, on: definitions, name: "workflows.argoproj.io", body: metadata(`"ownerReferences":null`)},
	"another's may go":                 {as: platform, verb: "delete", on: definitions, name: "workflowartifactgctasks.argoproj.io"},
	"who may write them may not prune": {as: platform, verb: "jsonpatch", on: definitions, name: revocations, body: pruned, refused: reason.ConfigurationGuarded},
	"nor stop serving one":             {as: platform, verb: "jsonpatch", on: definitions, name: revocations, body: `[{"op":"replace","path":"/spec/versions/0/served","value":false}]`, refused: reason.ConfigurationGuarded},
	"nor delete one":                   {as: platform, verb: "delete", on: definitions, name: "artifactseals.argoseal.dev", refused: reason.ConfigurationGuarded},
	"nor all there are":                {as: platform, verb: "deletecollection", on: definitions, refused: reason.ConfigurationGuarded},
	"nor have one collected":           {as: platform, on: definitions, name: revocations, refused: reason.ConfigurationGuarded, body: metadata(`"ownerReferences":[{"apiVersion":"v1","kind":"Namespace","name":"gone","uid":"7d1ab1ce-0000-4000-8000-000000000000"}]`)},
}

func secret(name string) string {
	return `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"` + name + `","namespace":"NS"},"data":{"x":"eQ=="}}`
}

func configMap(name string) string {
	return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `","namespace":"NS"},"data":{"x":"y"}}`
}

const data = `{"data":{"x":"eQ=="}}`

// anchorCases: what all evidence rests on is each program's own to write.
var anchorCases = map[string]attempt{
	"the webhook may write its tag key":         {as: webhook, verb: "update", on: secrets, in: release, name: "argoseal-tag-key", body: secret("argoseal-tag-key")},
	"the notary may write whom it trusts":       {as: notary, verb: "update", on: configMaps, in: release, name: "argoseal-trusted", body: configMap("argoseal-trusted")},
	"a cluster admin may restore a key":         {as: clusterAdmin, on: secrets, in: release, name: "argoseal-signing-key", body: data},
	"and delete one":                            {as: clusterAdmin, verb: "delete", on: secrets, in: release, name: "argoseal-tag-key"},
	"an operator may":                           {as: operator, on: configMaps, in: release, name: "argoseal-trusted-root", body: `{"data":{"x":"y"}}`},
	"the namespace may be emptied":              {as: emptier, verb: "deletecollection", on: secrets, in: release},
	"helm may keep a release":                   {as: platform, verb: "create", on: secrets, in: release, body: secret("sh.helm.release.v1.argoseal.v99")},
	"other objects are others'":                 {as: platform, verb: "create", on: configMaps, in: release, body: configMap("argoseal-dashboard")},
	"other namespaces are others'":              {as: tenant, verb: "create", on: secrets, body: secret("argoseal-tag-key")},
	"anybody may label one":                     {as: platform, on: secrets, in: release, name: "argoseal-tag-key", body: metadata(`"labels":{"x":"y"}`)},
	"who may write Secrets may not write a key": {as: platform, on: secrets, in: release, name: "argoseal-tag-key", body: data, refused: reason.AnchorGuarded},
	"nor the serving certificate":               {as: platform, on: secrets, in: release, name: "argoseal-webhook-tls", body: data, refused: reason.AnchorGuarded},
	"nor the trusted root":                      {as: platform, on: configMaps, in: release, name: "argoseal-trusted-root", body: `{"data":{"trusted_root.json":"{}"}}`, refused: reason.AnchorGuarded},
	"nor the notary's key":                      {as: platform, on: configMaps, in: release, name: "argoseal-notary-key", body: `{"data":{"notary.pub":"x"}}`, refused: reason.AnchorGuarded},
	"an operator may trust another domain":      {as: operator, verb: "create", on: configMaps, in: release, body: configMap("argoseal-trust-paris")},
	"nobody else may":                           {as: platform, verb: "create", on: configMaps, in: release, body: configMap("argoseal-trust-paris"), refused: reason.AnchorGuarded},
	"nor the notary":                            {as: notary, verb: "create", on: configMaps, in: release, body: configMap("argoseal-trust-paris"), refused: reason.AnchorGuarded},
	"nor who is trusted":                        {as: platform, on: configMaps, in: release, name: "argoseal-trusted", body: `{"data":{"trusted.json":"{}"}}`, refused: reason.AnchorGuarded},
	"nor who has used up a budget":              {as: platform, verb: "create", on: configMaps, in: release, body: configMap("argoseal-budget"), refused: reason.AnchorGuarded},
	"nor what Argo runs":                        {as: platform, verb: "create", on: configMaps, in: release, body: configMap("argoseal-argo"), refused: reason.AnchorGuarded},
	"nor who was, by the release before":        {as: platform, verb: "create", on: configMaps, in: release, body: configMap("argoseal-believed"), refused: reason.AnchorGuarded},
	"nor freeze one":                            {as: platform, on: secrets, in: release, name: "argoseal-tag-key", body: `{"immutable":true}`, refused: reason.AnchorGuarded},
	"nor delete one":                            {as: platform, verb: "delete", on: secrets, in: release, name: "argoseal-log-key", refused: reason.AnchorGuarded},
	"nor all there are":                         {as: platform, verb: "deletecollection", on: secrets, in: release, refused: reason.AnchorGuarded},
	"nor have one collected":                    {as: platform, on: secrets, in: release, name: "argoseal-tag-key", refused: reason.AnchorGuarded, body: metadata(`"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"7d1ab1ce-0000-4000-8000-000000000000"}]`)},
	"the notary may not make the tag key":       {as: notary, verb: "create", on: secrets, in: release, body: secret("argoseal-tag-key"), refused: reason.AnchorGuarded},
	"the webhook may not make the signing key":  {as: webhook, verb: "create", on: secrets, in: release, body: secret("argoseal-signing-key"), refused: reason.AnchorGuarded},
	"the log may not make the notary's key":     {as: rekor, verb: "create", on: configMaps, in: release, body: configMap("argoseal-notary-key"), refused: reason.AnchorGuarded},
}
