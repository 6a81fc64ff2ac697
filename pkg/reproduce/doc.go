// Package reproduce says how a sealed step is run again, and whether it makes the
// same.
//
// Make turns a verified statement, and the text of what ran, into a Workflow of
// that one step. The Workflow runs the template that the statement names by its
// digest, on images by digest, with inputs from the places where they were sealed.
// It never stores at a place where the first run stored. Compare holds two verified
// statements against each other: first whether images and inputs were the same,
// then whether the outputs are.
//
// The text counts only as far as the statement has its digest. Everything that no
// digest covers is named in notes. The package is pure.
package reproduce
