// Package sentinel raises a control plane of three API servers and three etcd
// members as processes of a test, and has argoseal-sentinel set up, rotate and
// take away encryption at rest under load, while one after another is taken away;
// and one of each, whose Secrets lie under a key of a key service. That needs no root,
// and nothing of the development cluster but the programs that it was built from.
//
// Access to Secrets is tried on the development cluster itself.
package sentinel
