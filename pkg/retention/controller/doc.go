// Package controller removes the records that package retention says may go.
//
// It runs in the one replica of argoseal-controller that leads, which holds no key. What
// it knows from informers only proposes: before a workflow's records go the API server
// itself is asked for the Workflow, its pods and every record, and each deletion names the
// very version that was looked at. A pass that could not read everything removes nothing.
package controller
