// Package reproduce says how a sealed step is run again, and whether what it made is
// the same.
//
// Make turns a verified statement, and the text of what ran, into a Workflow of that one
// step: it runs the template that the statement names by its digest, on images by digest,
// with inputs at the places where they were sealed. It never stores at a place that the
// first run stored at. Compare holds two verified statements against each other: were
// images and inputs the same, and then, was what came out?
//
// The text counts only as far as the statement has its digest. What no digest covers is
// said in notes, never passed over. The package is pure.
package reproduce
