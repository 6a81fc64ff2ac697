// Package sentinel has argoseal-sentinel set up, rotate and take away encryption at rest
// under load, on a control plane of three API servers and three etcd members, while one
// after another is taken away; and on one of each, whose Secrets lie under a key of a key
// service.
//
// Access to Secrets is tried on the development cluster itself.
package sentinel
