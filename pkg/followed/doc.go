// Package followed keeps which Argo runs in the namespaces that the operator named: as
// whom its controllers make pods, and which executors, with which variables, they give
// to them. The notary's Keeper looks at the Deployments there, whenever one changes, and
// writes what it finds into the ConfigMap argoseal-argo; the webhook's Reader reads it
// there, and so do our admission policies. So an upgrade of Argo needs no change of
// ours: what it ran before counts for a while beside what it runs now.
//
// It trusts whoever may write Deployments, ReplicaSets or ConfigMaps in these
// namespaces, and those of Argoseal's own. Other namespaces it neither reads nor
// believes.
package followed
