// Package control raises a control plane of three API servers and three etcd members,
// with an agent of argoseal-sentinel beside each server, as processes that end with it.
// Tests and the demo of argoseal-sentinel have one each. It needs no root, and of the
// development cluster only the programs that it is built from.
package control
