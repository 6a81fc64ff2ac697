// Package controller brings the API servers to what the SecretEncryption says,
// by the steps of package encryption: it looks at all servers, their files and
// etcd, asks for the next step, does that one, and looks again.
//
// What it writes into the resource's status is for people: it reads back only
// how far a migration has come, which a scan of etcd overrules. It trusts the
// agents' files and answers, the API servers' word on what they run with, and
// etcd.
package controller
