// Package sidecar knows the containers that Argoseal adds to a pod: it adds
// them (Add) and says whether a final pod has exactly them (Check).
//
// It trusts its configuration and the pins it is given. It trusts nothing in
// the pod: other webhooks and the API server have changed it, and its author
// may have tried to. It is pure: no Kubernetes client, no network.
package sidecar
