// Package followed keeps a record of the Argo that runs in the namespaces that the
// operator named: as which users its controllers make pods, and which executors,
// with which variables, they give to them. The notary's Keeper looks at the
// Deployments there whenever one changes, and writes what it finds into the
// ConfigMap argoseal-argo. The webhook's Reader reads it, and so do our admission
// policies. So an upgrade of Argo needs no change of ours: for a while, what ran
// before counts beside what runs now.
//
// It trusts whoever may write Deployments, ReplicaSets or ConfigMaps in these
// namespaces and in Argoseal's own. It neither reads nor trusts other namespaces.
package followed
