// Package logwatch holds a transparency log to what it has signed before. Every replica
// of the notary looks at the log's checkpoint again and again; each has to extend the last
// one, which is kept in a TransparencyLog, away from the log's own volume. A log that does
// not, or of which nothing has been known for a while, is added nothing to.
//
// It trusts the log's key in the trusted root, and whoever may write the TransparencyLog:
// the notary alone, by a guard.
package logwatch
