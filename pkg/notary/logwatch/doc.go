// Package logwatch holds a transparency log to what it has signed before. Every
// replica of the notary looks at the log's checkpoint again and again. Each
// checkpoint has to extend the last one, which is kept in a TransparencyLog, away
// from the log's own volume. If one does not, or if nothing has been known for a
// while, no entries are added to the log.
//
// It trusts the log's key in the trusted root, and whoever may write the
// TransparencyLog: by a guard, the notary alone.
package logwatch
