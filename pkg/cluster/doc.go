// Package cluster is the cluster that a program runs in: its name, its time, an API
// server that may not answer yet, and caches of watched objects.
//
// A cache watches what it is made for and nothing else, keeps no managedFields,
// runs in every replica, and holds up nothing while it is not synced yet.
package cluster
