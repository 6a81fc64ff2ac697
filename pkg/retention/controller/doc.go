// Package controller removes the records that package retention says may go.
//
// It runs in the replica of argoseal-controller that leads, and holds no key. What
// the informers know is only a proposal. Before a workflow's records go, it asks
// the API server itself for the Workflow, its pods and every record, and each
// deletion names the version that was looked at. A pass that could not read
// everything removes nothing.
package controller
