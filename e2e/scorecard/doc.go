// Package scorecard holds argoseal-sentinel to the six tests of Operator Scorecard, run
// by their original program.
//
// They judge a bundle for the Operator Lifecycle Manager. It is made anew for each run:
// from the chart, as helm renders it, and from the examples in testdata, which have
// every field that there is. A real API server takes these first.
//
// The bundle is no way to install anything: a lifecycle manager has no place for what
// the chart's guards are, ValidatingAdmissionPolicies, nor for agents on nodes.
package scorecard
