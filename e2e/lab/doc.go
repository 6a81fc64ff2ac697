// Package lab is the running cluster as the demo, the end-to-end tests and the
// benchmark see it: it submits workflows, waits for them, and reads what
// happened from where a user would: the API server and the S3 store.
//
// It trusts the cluster's administrator credentials and nothing that a
// workflow says about itself. Every wait has a time limit.
package lab
